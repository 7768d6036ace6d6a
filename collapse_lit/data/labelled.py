"""The return type of every source: a training and a test set of images with fine labels."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from collapse_lit.errors import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """One set of labelled images.

    Attributes:
        images: (N, C, H, W) uint8, possibly memory-mapped; or vectors (N, d) float32.
        labels: fine class of each image, (N,) int64.
        ahead: whether batches are read ahead by threads, because the images are too many to stay
            in memory.
    """

    images: Tensor
    labels: Tensor
    ahead: bool = False

    @property
    def has_pictures(self) -> bool:
        """Whether the samples are images; vectors cannot be displayed."""
        return self.images.dtype == torch.uint8

    def picture(self, row: int) -> Image.Image:
        """One image as RGB, grey unless it has three channels."""
        pixels = self.images[row].permute(1, 2, 0).contiguous().cpu().numpy()
        return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).convert("RGB")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A data set with its fine classes.

    Attributes:
        train: the training set.
        test: the test set, with the same classes.
        fine_names: names of the fine classes, in the order of their labels.
        statistics: mean and standard deviation of each channel over the training images, (C,) each
            on the scale 0…255, if the source knows them; otherwise they are computed.
        digest: identifies the files that were read, so that ranks can compare what they have.
    """

    train: Split
    test: Split
    fine_names: tuple[str, ...]
    statistics: tuple[Tensor, Tensor] | None = None
    digest: str = ""


def hold_out(
    data: LabelledImages, count: int, seed: int
) -> tuple[LabelledImages, dict[str, Tensor]]:
    """Replace the test set by training images held out at random; also return the rows of each
    split.

    Raises:
        UserError: There are too few training images.
    """
    images, labels = data.train.images, data.train.labels
    if not count < len(labels):
        raise UserError(
            f"data.validation={count}: there are only {len(labels)} training images, and some must "
            "stay"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    held, kept = order[:count].sort().values, order[count:].sort().values
    train, validation = (Split(images[rows], labels[rows]) for rows in (kept, held))
    data = replace(data, train=train, test=validation, statistics=None)
    return data, {"train": kept, "test": held}


def check_labelled(data: Any, source: str) -> LabelledImages:
    """Check what a user's function returned.

    Raises:
        UserError: The result cannot be used.
    """

    def refuse(what: str) -> UserError:
        return UserError(f"data.source: {source} {what}")

    if not isinstance(data, LabelledImages):
        raise refuse(f"returned {type(data).__name__}, not collapse_lit.data.LabelledImages")
    for name, split in (("train", data.train), ("test", data.test)):
        images, labels = split.images, split.labels
        pictures = images.dtype == torch.uint8 and images.ndim == 4
        vectors = images.dtype == torch.float32 and images.ndim == 2
        if not (pictures or vectors):
            raise refuse(
                f"gave {name} images {tuple(images.shape)} {images.dtype}: return (N, C, H, W) "
                "uint8 or vectors (N, d) float32"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or not len(labels):
            raise refuse(
                f"gave {name} labels {tuple(labels.shape)} {labels.dtype} for {len(images)} "
                "images: return (N,) int64 for at least one image"
            )
        if labels.min() < 0 or labels.max() >= len(data.fine_names):
            raise refuse(
                f"gave {name} labels from {int(labels.min())} to {int(labels.max())} for "
                f"{len(data.fine_names)} fine_names"
            )
    if data.train.images.shape[1:] != data.test.images.shape[1:]:
        raise refuse("gave training and test images of different shapes")
    return data
