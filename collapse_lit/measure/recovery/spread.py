"""The width of each coarse class, relative to its distance from the others."""

import torch
from torch import Tensor

from collapse_lit.measure.distributed import Group
from collapse_lit.measure.recovery.kinds import ClassResiduals
from collapse_lit.measure.recovery.spaces import counts_and_means


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
    counts, means = counts_and_means(features, coarse, num_coarse, group)
    known = counts > 0
    within = means.new_full((num_coarse,), torch.nan)
    between = means.new_full((num_coarse,), torch.nan)
    for c in torch.where(known)[0].tolist():
        rows = torch.where(coarse == c)[0]
        residuals = ClassResiduals(features, rows, means[c], False, int(counts[c]), group)
        within[c] = residuals.variances().sum()
        others = known.clone()
        others[c] = False
        between[c] = (means[others] - means[c]).square().sum(dim=1).mean()
    return (within / torch.where(between > 0, between, torch.nan)).sqrt()
