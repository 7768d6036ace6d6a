"""Images with fine labels → coarse labels → batches on the training device."""

from collapse_lit.data.datamodule import CoarseDataModule
from collapse_lit.data.sources import GaussianMixture

__all__ = ["CoarseDataModule", "GaussianMixture"]
