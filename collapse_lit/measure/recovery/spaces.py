"""The space that a coarse class is clustered in: coordinates of its own centred features.

A space has a name, which is recorded with every number:

* ``raw``: the features as they are, centred on the class mean.
* ``pca32``: their first 32 principal coordinates.
* ``white32``: the same, each divided by its standard deviation.
* ``tsne``, ``umap``: two dimensions that keep neighbours, made from the first 50 principal
  coordinates by openTSNE or umap-learn (the extra ``embed``): minutes in place of seconds.
* ``unit-…``: any of these on features scaled to length one first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.distributed import Group, sum_over_ranks
from collapse_lit.measure.linalg import principal_axes, scatter

ROWS_AT_A_TIME = 2048  # float64 copies of so many rows stay in a processor's cache
NOISE_FLOOR = 1e-10  # axes with less than this share of the largest variance are rounding noise

EMBEDDED_FROM = 50  # principal coordinates that t-SNE and UMAP start from

Kind = Literal["raw", "pca", "white", "tsne", "umap"]


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
        match = re.fullmatch(r"(unit-)?(raw|tsne|umap|(pca|white)([1-9]\d*))/(kmeans|gmm)", name)
        if match is None:
            raise ValueError(
                f"space {name!r} is not known: use raw, pcaR or whiteR (R a number), tsne or umap, "
                "with unit- before it or not, and /kmeans or /gmm after it, such as 'white32/gmm'"
            )
        kind = cast(Kind, match[3] or match[2])
        clusterer = cast(Literal["kmeans", "gmm"], match[5])
        rank = EMBEDDED_FROM if kind in ("tsne", "umap") else int(match[4] or 0)
        return cls(match[1] is not None, kind, rank, clusterer)


def with_rank(name: str, rank: int) -> str:
    """The space's name with the rank that it really has: ``white32/gmm`` → ``white17/gmm``."""
    return re.sub(r"\d+", str(rank), name)


def class_means(
    features: Tensor, coarse: Tensor, num_coarse: int, group: Group, *, unit: bool = False
) -> tuple[Tensor, Tensor]:
    """Samples (C,) and mean feature (C, d) of each coarse class over all ranks, in float64."""
    d = features.shape[1]
    sums = torch.zeros(num_coarse, d + 1, dtype=torch.float64, device=features.device)
    for c in range(num_coarse):
        rows = torch.where(coarse == c)[0]
        sums[c, d] = len(rows)
        for block in _blocks(features, rows, unit):
            sums[c, :d] += block.sum(dim=0)
    sums = sum_over_ranks(sums, group)
    return sums[:, d].long(), sums[:, :d] / sums[:, d:].clamp(min=1)


def coordinates(
    features: Tensor, coarse: Tensor, num_coarse: int, space: Space, group: Group
) -> Tensor:
    """Coordinates of every sample in the space of its own coarse class.

    Means first, then the scatter of centred residuals, in float64 throughout: a one-pass scatter in
    float32 is wrong near collapse. Only d numbers and a d × d scatter per class cross ranks. The
    signs of axes are fixed (the largest entry of each is positive), so that any sharding gives the
    same coordinates.

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
    counts, means = class_means(features, coarse, num_coarse, group, unit=space.unit)
    d = features.shape[1]
    width = d if space.kind == "raw" else min(space.rank, d)
    result = torch.zeros(len(features), width, device=features.device)
    for c, count in enumerate(counts.tolist()):
        rows = torch.where(coarse == c)[0]
        residuals = _Residuals(features, rows, means[c], space.unit)
        if space.kind == "raw":
            squares = means.new_zeros(d)
            for block in residuals.blocks():
                squares += block.square().sum(dim=0)
            scale = _scale(sum_over_ranks(squares, group) / max(count, 1))
            points = [(block / scale).float() for block in residuals.blocks()]
        else:
            total = scatter(residuals.blocks(), like=features)
            covariance = sum_over_ranks(total, group) / max(count, 1)
            variances, axes = _leading_axes(covariance, min(width, max(count // 16, 1)))
            axes = axes / (variances.sqrt() if space.kind == "white" else _scale(variances))
            points = [(block @ axes).float() for block in residuals.blocks()]
        # rounded from float64, so that it does not depend on the sharding
        for part, block in zip(rows.split(ROWS_AT_A_TIME), points, strict=True):
            result[part, : block.shape[1]] = block
    return result


@dataclass(frozen=True)
class _Residuals:
    """What is left of the features of one class without their mean, made a cacheful at a time."""

    features: Tensor  # (n_local, d)
    rows: Tensor  # (n_c,)
    mean: Tensor  # (d,)
    unit: bool

    def blocks(self) -> Iterator[Tensor]:
        """Residuals (B, d) float64."""
        for block in _blocks(self.features, self.rows, self.unit):
            yield block - self.mean


def _blocks(features: Tensor, rows: Tensor, unit: bool) -> Iterator[Tensor]:
    """The rows (B, d) of the features in float64, a cacheful at a time; at length one if asked."""
    for part in rows.split(ROWS_AT_A_TIME):
        block = features.index_select(0, part).double()
        yield torch.nn.functional.normalize(block, dim=1) if unit else block


def _scale(variances: Tensor) -> Tensor:
    """One factor for all coordinates: their root mean variance, 1 where nothing varies."""
    scale = variances.mean().sqrt()
    return torch.where(scale > 0, scale, 1.0)


def _leading_axes(covariance: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The largest variances (r,) and their axes (d, r), noise directions left out."""
    variances, axes = principal_axes(covariance, rank)
    varies = variances > NOISE_FLOOR * variances[0].clamp(min=torch.finfo(torch.float64).tiny)
    variances, axes = variances[varies], axes[:, varies]
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return variances, axes * largest.sign()


def embedded(points: Tensor, space: Space, seed: int) -> Tensor:
    """Points (n, r) of one class as t-SNE or UMAP lays them out, (n, 2); unchanged elsewhere.

    Raises:
        ImportError: The library is not installed; the message names the extra.
    """
    if space.kind not in ("tsne", "umap"):
        return points
    x = points.numpy()
    perplexity = min(30, (len(x) - 1) / 3)
    try:
        if space.kind == "tsne":
            from openTSNE import TSNE

            laid_out = TSNE(perplexity=perplexity, random_state=seed).fit(x)
        else:
            from umap import UMAP

            laid_out = UMAP(random_state=seed, n_jobs=1).fit_transform(x)
    except ImportError as error:
        raise ImportError(
            f'the space {space.kind} needs a library: pip install "collapse-lit[embed]"'
        ) from error
    flat = torch.from_numpy(np.array(laid_out, dtype=np.float32))
    return (flat - flat.mean(dim=0)) / _scale(flat.var(dim=0))
