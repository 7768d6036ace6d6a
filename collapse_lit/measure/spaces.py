"""The space that a coarse class is clustered in: coordinates of its own centred features.

A space has a name, which is recorded with every number:

* ``raw``: the features as they are, centred on the class mean.
* ``pca32``: their first 32 principal coordinates.
* ``white32``: the same, each divided by its standard deviation.
* ``unit-…``: any of these on features scaled to length one first.

Another embedding (t-SNE, UMAP) would be one more kind here: a function of the points of one class.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

import torch
from scipy.linalg import eigh, get_blas_funcs
from torch import Tensor

from collapse_lit.measure.distributed import Group, sum_over_ranks

ROWS_AT_A_TIME = 4096
NOISE_FLOOR = 1e-10  # axes with less than this share of the largest variance are rounding noise

Kind = Literal["raw", "pca", "white"]


@dataclass(frozen=True)
class Space:
    """Where to cluster (``unit``, ``kind``, ``rank``) and with what (``clusterer``)."""

    unit: bool
    kind: Kind
    rank: int
    clusterer: Literal["kmeans", "gmm"]

    @classmethod
    def parse(cls, name: str) -> "Space":
        """``"unit-white32/gmm"`` → unit length, whitened, rank 32, Gaussian mixture."""
        match = re.fullmatch(r"(unit-)?(raw|(pca|white)([1-9]\d*))/(kmeans|gmm)", name)
        if match is None:
            raise ValueError(
                f"space {name!r} is not known: use raw, pcaR or whiteR (R a number), with unit- "
                "before it or not, and /kmeans or /gmm after it, such as 'white32/gmm'"
            )
        kind = cast(Kind, match[3] or "raw")
        clusterer = cast(Literal["kmeans", "gmm"], match[5])
        return cls(match[1] is not None, kind, int(match[4] or 0), clusterer)


def with_rank(name: str, rank: int) -> str:
    """The space's name with the rank that it really has: ``white32/gmm`` → ``white17/gmm``."""
    return re.sub(r"\d+", str(rank), name)


def class_means(
    features: Tensor, coarse: Tensor, num_coarse: int, group: Group
) -> tuple[Tensor, Tensor]:
    """Samples (C,) and mean feature (C, d) of each coarse class over all ranks, in float64."""
    d = features.shape[1]
    sums = torch.zeros(num_coarse, d + 1, dtype=torch.float64, device=features.device)
    for c in range(num_coarse):
        mine = features[coarse == c]
        sums[c, :d] = mine.sum(dim=0, dtype=torch.float64)
        sums[c, d] = len(mine)
    sums = sum_over_ranks(sums, group)
    return sums[:, d].long(), sums[:, :d] / sums[:, d:].clamp(min=1)


def unit_length(features: Tensor) -> Tensor:
    """Features (n, d) scaled to length one; a zero vector stays zero."""
    return torch.nn.functional.normalize(features, dim=1)


def coordinates(
    features: Tensor, coarse: Tensor, num_coarse: int, space: Space, group: Group
) -> Tensor:
    """Coordinates of every sample in the space of its own coarse class.

    Two passes: means first, then the scatter of centred residuals, summed in float64. A one-pass
    scatter in float32 is wrong near collapse. Only d numbers and a d × d scatter per class cross
    ranks. The scatter of a class sets its axes; their signs are fixed (the largest entry of each is
    positive), so that any sharding gives the same coordinates.

    Args:
        features: (n_local, d) floating point.
        coarse: (n_local,) int64 in 0..num_coarse-1.
        num_coarse: number of coarse classes C.
        space: which coordinates; its rank is cut to d and, class by class, to the directions that
            vary and to one for every sixteen samples.
        group: process group whose ranks hold the samples.

    Returns:
        (n_local, r) float32 of unit total variance per column on average; columns beyond the
        rank of a class are zero.
    """
    if space.unit:
        features = unit_length(features)
    counts, means = class_means(features, coarse, num_coarse, group)
    d = features.shape[1]
    width = d if space.kind == "raw" else min(space.rank, d)
    result = torch.zeros(len(features), width, device=features.device)
    for c in range(num_coarse):
        rows = torch.where(coarse == c)[0]
        # exact where it matters: nearby floats subtract without rounding, and the rounding of the
        # mean shifts all residuals alike
        residuals = (features[rows] - means[c].to(features.dtype)).float()  # (n_c, d)
        covariance = sum_over_ranks(scatter(residuals), group) / counts[c].clamp(min=1)
        if space.kind == "raw":
            result[rows] = residuals / _scale(covariance.diagonal())
            continue
        variances, axes = _leading_axes(covariance, min(width, max(int(counts[c]) // 16, 1)))
        scale = variances.sqrt() if space.kind == "white" else _scale(variances)
        # in float64, so that its rounding to float32 does not depend on the sharding
        result[rows, : axes.shape[1]] = (residuals.double() @ (axes / scale)).float()
    return result


def scatter(rows: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Σ r rᵀ (d, d) in float64, from products in ``dtype`` of some thousand rows at a time."""
    d = rows.shape[1]
    total = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for block in rows.split(ROWS_AT_A_TIME):
        total += _symmetric_product(block.to(dtype))
    return total


def _symmetric_product(block: Tensor) -> Tensor:
    """(d, d) product blockᵀ block; on the CPU by BLAS's syrk, at half the work of a product."""
    if block.device.type != "cpu" or block.numel() == 0:
        return block.T @ block
    points = block.numpy()
    upper = get_blas_funcs("syrk", (points,))(1.0, points.T)  # the other triangle is zero
    upper = torch.from_numpy(upper)
    return upper + upper.T - upper.diag().diag()


def _scale(variances: Tensor) -> Tensor:
    """One factor for all coordinates: their root mean variance, 1 where nothing varies."""
    scale = variances.mean().sqrt()
    return torch.where(scale > 0, scale, 1.0)


def _leading_axes(covariance: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The largest variances (r,) and their axes (d, r), noise directions left out."""
    d = len(covariance)
    values, vectors = eigh(covariance.cpu().numpy(), subset_by_index=(d - min(rank, d), d - 1))
    variances = torch.from_numpy(values[::-1].copy()).to(covariance.device)
    axes = torch.from_numpy(vectors[:, ::-1].copy()).to(covariance.device)
    varies = variances > NOISE_FLOOR * variances[0].clamp(min=torch.finfo(torch.float64).tiny)
    variances, axes = variances[varies], axes[:, varies]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return variances, axes * largest.sign()
