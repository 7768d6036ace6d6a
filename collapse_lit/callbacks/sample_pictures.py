"""Pictures of the samples of any data set, and the names of its classes."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities.seed import isolate_rng
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from collapse_lit.reading.batches import INPUT_KEYS, TakeApart, take_apart


def pictures_of(
    loader: Any, index: Sequence[int], how: TakeApart | None = None
) -> Iterator[Image.Image | None]:
    """A picture of each sample, by its position in the loader's data set; None without pictures.

    If a sample does not show which part is the image, a batch of that sample is split as the
    monitors do.
    """
    dataset = getattr(loader, "dataset", None)
    known = isinstance(loader, DataLoader) and not isinstance(dataset, IterableDataset)
    for row in index:
        with isolate_rng():
            sample = dataset[int(row)] if known and dataset is not None else None
            found = picture(sample)
            if found is None and sample is not None and loader.collate_fn is not None:
                with contextlib.suppress(Exception):  # a missing picture must not prevent the page
                    batch = take_apart(loader.collate_fn([sample]), how)
                    found = picture([*batch.args, *batch.kwargs.values()][0][:1])
            yield found


def paths_of(loader: Any, index: Sequence[int]) -> list[str] | None:
    """The file of each sample, if the data set, or the set that it is a subset of, has files.

    torchvision's ``ImageFolder`` lists them as ``samples``.
    """
    dataset: Any = getattr(loader, "dataset", None)
    rows = [int(row) for row in index]
    while not hasattr(dataset, "samples"):
        indices = getattr(dataset, "indices", None)
        if indices is None:
            return None
        rows, dataset = [int(indices[row]) for row in rows], getattr(dataset, "dataset", None)
    try:
        return [str(Path(dataset.samples[row][0]).resolve()) for row in rows]
    except (TypeError, IndexError, KeyError):
        return None


def picture(sample: Any) -> Image.Image | None:
    """The image in a sample ``(image, label, …)`` or a dictionary; None without an image.

    Floating-point pixels are stretched to the full range, because their normalisation is unknown.
    """
    if isinstance(sample, Mapping):
        named = [value for key, value in sample.items() if str(key).lower() in INPUT_KEYS]
        sample = named[:1]
    if isinstance(sample, Tensor) and sample.ndim == 4:
        sample = list(sample)
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
    """Names of the labels, if the data set, or the set that it is a subset of, has ``classes``."""
    dataset = getattr(loader, "dataset", None)
    for _ in range(5):  # subsets of subsets
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, (tuple, list)):
            return [str(name) for name in classes]
        dataset = getattr(dataset, "dataset", None)
    return []
