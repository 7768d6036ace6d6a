"""What a sample of anybody's data set looks like, and what its classes are called."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.utilities.seed import isolate_rng
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from collapse_lit.batches import INPUT_KEYS


def pictures_of(loader: Any, index: Sequence[int]) -> Iterator[Image.Image | None]:
    """A picture of each sample, by its position in the data set of a loader; None without one."""
    dataset = getattr(loader, "dataset", None)
    known = isinstance(loader, DataLoader) and not isinstance(dataset, IterableDataset)
    for row in index:
        with isolate_rng():
            yield picture(dataset[int(row)]) if known and dataset is not None else None


def picture(sample: Any) -> Image.Image | None:
    """The image in a sample ``(image, label, …)`` or a dictionary; None where there is none.

    Floating-point pixels are stretched from the smallest to the largest, since nothing tells how
    they were normalised.
    """
    if isinstance(sample, Mapping):
        named = [value for key, value in sample.items() if str(key).lower() in INPUT_KEYS]
        sample = named[:1]
    image = sample[0] if isinstance(sample, (tuple, list)) and sample else None
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if not isinstance(pixels, np.ndarray) or pixels.ndim not in (2, 3):
        return None
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if min(pixels.shape[:2]) < 2 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        return None
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        pixels = ((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB")


def class_names_of(loader: Any) -> list[str]:
    """Names of the labels, where the data set or the one that it is a subset of has ``classes``."""
    dataset = getattr(loader, "dataset", None)
    for _ in range(5):  # subsets of subsets
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, (tuple, list)):
            return [str(name) for name in classes]
        dataset = getattr(dataset, "dataset", None)
    return []
