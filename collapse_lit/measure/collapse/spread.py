"""The width of each coarse class, relative to its distance from the others."""

import torch
from torch import Tensor

from collapse_lit.measure.collapse.class_means import squared_distances
from collapse_lit.measure.collapse.statistics import class_means, within_class
from collapse_lit.measure.distributed import Group


@torch.no_grad()
def relative_spread(
    features: Tensor, coarse: Tensor, num_coarse: int, group: Group = None
) -> Tensor:
    """Width of each coarse class in the raw features, relative to its distance from the others.

    This is the root mean squared distance of the samples from their class mean, divided by that of
    the class mean from the other class means. It falls to 0 as the class collapses to a point.
    Clusters are shown in whitened spaces, which hide it.

    Args:
        features: (n_local, d) floating point.
        coarse: (n_local,) int64 in 0..num_coarse-1.
        num_coarse: number of coarse classes C.
        group: process group whose ranks hold the samples.

    Returns:
        (C,) float64; NaN for a class without samples, or with the same mean as all others.
    """
    classes = class_means(features, coarse, num_coarse, group)
    within = within_class(features, coarse, classes, group).variances
    known = classes.counts > 0
    apart = squared_distances(classes.means)[:, known]  # 0 from a class to itself
    between = apart.sum(dim=1) / (known.sum() - 1)
    usable = known & (between > 0)
    return torch.where(usable, within / between, torch.nan).sqrt()
