"""Small pictures of many samples in one image: what a chart shows when a point is pointed at."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image, ImageOps

LARGEST = 48  # pixels a side: enough to see what it is, and two thousand of them in 3 MB
LOSSLESS = 16  # up to this side every pixel counts, and costs little
QUALITY = 75


@dataclass(frozen=True, eq=False)
class Sprite:
    """n square pictures in rows of ``columns``, in one WebP image.

    Attributes:
        index: (n,) int64, which sample is on each tile.
        side: pixels of a tile's side.
        columns: tiles in a row.
        webp: the image file's bytes.
    """

    index: np.ndarray
    side: int
    columns: int
    webp: bytes

    def tiles(self, index: Iterable[int]) -> list[int]:
        """The tile of each of these samples, -1 where it has none."""
        place = {sample: tile for tile, sample in enumerate(self.index.tolist())}
        return [place.get(int(sample), -1) for sample in index]

    def cut(self, tiles: Iterable[int]) -> list[Image.Image]:
        """The pictures on these tiles."""
        sheet, side = Image.open(io.BytesIO(self.webp)).convert("RGB"), self.side
        corners = [(tile % self.columns * side, tile // self.columns * side) for tile in tiles]
        return [sheet.crop((x, y, x + side, y + side)) for x, y in corners]

    @property
    def for_page(self) -> dict[str, Any]:
        """What the page's script needs."""
        encoded = base64.b64encode(self.webp).decode()
        uri = f"data:image/webp;base64,{encoded}"
        return {"uri": uri, "side": self.side, "columns": self.columns}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The same as plain arrays, to be kept in a file."""
        return {
            "index": self.index,
            "side": np.array(self.side),
            "columns": np.array(self.columns),
            "webp": np.frombuffer(self.webp, dtype=np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Back from :attr:`arrays`."""
        return cls(
            index=arrays["index"],
            side=int(arrays["side"]),
            columns=int(arrays["columns"]),
            webp=arrays["webp"].tobytes(),
        )


def make_sprite(index: Sequence[int], pictures: Iterable[Image.Image | None]) -> Sprite | None:
    """The pictures of some samples as one sprite; None where no sample has a picture.

    Args:
        index: which samples they are.
        pictures: one a sample, of any size, None where there is none; drawn one after another.
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
