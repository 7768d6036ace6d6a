"""What every source returns: images with their fine labels, in a training and a test set."""

from dataclasses import dataclass

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
