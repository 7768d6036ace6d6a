"""Images with fine labels → coarse labels → batches on the training device."""

from collapse_lit.data.datamodule import CoarseDataModule
from collapse_lit.data.gaussian import GaussianMixture
from collapse_lit.data.labelled import LabelledImages, Split

__all__ = ["CoarseDataModule", "GaussianMixture", "LabelledImages", "Split"]
