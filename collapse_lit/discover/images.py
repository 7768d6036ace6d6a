"""Read a folder of images in batches for a network, and as pictures."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchvision.transforms import v2

from collapse_lit.data.image_files import Listing, find_images, list_images
from collapse_lit.data.pictures import open_picture
from collapse_lit.discover.samples import Picture
from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import plain_text

BATCH = 64

Transform = Callable[[Image.Image], Tensor]


def labelled_images(folder: Path) -> Listing:
    """The images of FOLDER/CLASS/… in a fixed order, and the class of each.

    Raises:
        UserError: The folder is missing, or it holds no class folders with images.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: there is no such folder")
    return list_images(folder, key="--images")


def all_images(folder: Path) -> list[Path]:
    """All images anywhere below a folder, in alphabetical order.

    Raises:
        UserError: There are no images.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder}: there is no such folder")
    return find_images(folder, "--images")


def image_batches(files: Sequence[Path], transform: Transform) -> Iterator[Tensor]:
    """Batches of images (B, C, H, W), decoded ahead of the network by threads.

    After a broken image, the rest is only decoded, so that one message lists all broken images.

    Raises:
        UserError: Images are broken; raised after the last batch.
    """

    def load(path: Path) -> Tensor | str:
        try:
            return transform(open_picture(path))
        except Exception as error:  # Pillow raises many error types for a broken file
            return f"{plain_text(path)} ({error})"

    broken: list[str] = []
    starts = track(
        range(0, len(files), BATCH),
        description=f"features of {len(files):,} images",
        console=Console(stderr=True),
    )
    with ThreadPoolExecutor() as threads:
        for start in starts:
            loaded = list(threads.map(load, files[start : start + BATCH]))
            broken += [item for item in loaded if isinstance(item, str)]
            if not broken:
                yield torch.stack([item for item in loaded if isinstance(item, Tensor)])
    if broken:
        shown = "; ".join(broken[:5]) + ("; …" if len(broken) > 5 else "")
        raise UserError(
            f"--images: {len(broken)} of {len(files)} images cannot be read; repair or remove "
            f"{shown}"
        )


def preparation(
    resize: int,
    crop: int,
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: v2.InterpolationMode,
    channels: int = 3,
) -> Transform:
    """Preparation of a picture for a network: resize the shorter side, crop the centre, normalise.

    Args:
        resize: length of the shorter side in pixels.
        crop: side of the square in pixels.
        mean: mean of each channel on the scale 0…1, or one number for all channels.
        std: standard deviation of each channel, or one number for all channels.
        interpolation: interpolation for resizing.
        channels: 3 for RGB, 1 for grey.
    """
    return v2.Compose(
        [
            *([v2.Grayscale()] if channels == 1 else []),
            v2.Resize(resize, interpolation),
            v2.CenterCrop(crop),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )


def pictures_from(files: Sequence[Path]) -> Picture:
    """A function that returns the picture of a sample by its row."""
    return lambda row: open_picture(files[row])
