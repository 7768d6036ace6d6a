"""What every source returns: images with their fine labels, in a training and a test set."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """One set of labelled images.

    Attributes:
        images: (N, C, H, W) uint8, possibly memory-mapped; or vectors (N, d) float32.
        labels: fine class of each image, (N,) int64.
    """

    images: Tensor
    labels: Tensor

    @property
    def has_pictures(self) -> bool:
        """Whether its images can be looked at: vectors cannot."""
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
    """

    train: Split
    test: Split
    fine_names: tuple[str, ...]
