"""Thumbnails of many samples in one image, for the tooltips of a chart."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image, ImageOps

LARGEST = 48  # pixels per side: recognisable, and 2,000 thumbnails take 3 MB
LOSSLESS = 16  # up to this side, lossless compression is cheap and keeps every pixel
QUALITY = 75


@dataclass(frozen=True, eq=False)
class Sprite:
    """n square thumbnails in rows of ``columns``, in one WebP image.

    Attributes:
        index: (n,) int64, the sample on each tile.
        side: side of a tile in pixels.
        columns: number of tiles in a row.
        webp: bytes of the image file.
    """

    index: np.ndarray
    side: int
    columns: int
    webp: bytes

    def tiles(self, index: Iterable[int]) -> list[int]:
        """The tile of each of these samples, -1 without a tile."""
        place = {sample: tile for tile, sample in enumerate(self.index.tolist())}
        return [place.get(int(sample), -1) for sample in index]

    def cut(self, tiles: Iterable[int]) -> list[Image.Image]:
        """The pictures on these tiles."""
        sheet, side = Image.open(io.BytesIO(self.webp)).convert("RGB"), self.side
        corners = [(tile % self.columns * side, tile // self.columns * side) for tile in tiles]
        return [sheet.crop((x, y, x + side, y + side)) for x, y in corners]

    @property
    def for_page(self) -> dict[str, Any]:
        """The values for the page's script."""
        encoded = base64.b64encode(self.webp).decode()
        uri = f"data:image/webp;base64,{encoded}"
        return {"uri": uri, "side": self.side, "columns": self.columns}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The sprite as plain arrays, for a file."""
        return {
            "index": self.index,
            "side": np.array(self.side),
            "columns": np.array(self.columns),
            "webp": np.frombuffer(self.webp, dtype=np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The sprite of these arrays; the inverse of :attr:`arrays`."""
        return cls(
            index=arrays["index"],
            side=int(arrays["side"]),
            columns=int(arrays["columns"]),
            webp=arrays["webp"].tobytes(),
        )


def make_sprite(index: Sequence[int], pictures: Iterable[Image.Image | None]) -> Sprite | None:
    """Make a sprite of some samples' pictures; None if no sample has a picture.

    Args:
        index: the samples.
        pictures: the picture of each sample, of any size, or None; read one after another.
    """
    kept: list[int] = []
    tiles: list[Image.Image] = []
    for sample, picture in zip(index, pictures, strict=True):
        if picture is not None:
            side = min(LARGEST, max(picture.size)) if not tiles else tiles[0].width
            kept.append(int(sample))
            tiles.append(ImageOps.fit(picture.convert("RGB"), (side, side)))
    if not tiles:
        return None
    side, columns = tiles[0].width, math.ceil(math.sqrt(len(tiles)))
    sheet = Image.new("RGB", (columns * side, math.ceil(len(tiles) / columns) * side))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet.paste(tile, (column * side, row * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=QUALITY, lossless=side <= LOSSLESS)
    return Sprite(np.array(kept, dtype=np.int64), side, columns, buffer.getvalue())
