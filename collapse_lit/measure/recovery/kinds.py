"""Kinds of coordinates for clustering a coarse class; each kind is one function.

* ``raw``: the features, centred on the class mean.
* ``pca32``: the first 32 principal coordinates.
* ``white32``: the first 32 principal coordinates, each divided by its standard deviation.
* ``tsne``, ``umap``: two-dimensional embeddings of the first 50 principal coordinates by openTSNE
  or umap-learn (the extra ``embed``). They take minutes instead of seconds.

:func:`register_coordinates` and :func:`register_layout` add another.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.clustering import FloatArray
from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    of_first_rank,
    sum_over_ranks,
)
from collapse_lit.measure.linalg import gram_axes, principal_axes, scatter_matrix
from collapse_lit.measure.recovery.registry import Registry

ROWS_AT_A_TIME = 2048  # float64 copies of these rows fit a processor's cache
NOISE_FLOOR = 1e-10  # axes below this share of the largest variance are rounding noise
SAMPLES_PER_AXIS = 16  # at least; limits the number of axes of a class

LAID_OUT_FROM = 50  # number of principal coordinates for t-SNE and UMAP
RESTARTS = 10  # of k-means in spaces that are not whitened
RESTARTS_RAW = 3  # in all d dimensions, where a restart costs ten times as much


@dataclass(frozen=True)
class ClassResiduals:
    """The centred features of one coarse class, whose samples are sharded over the ranks.

    Attributes:
        features: (n_local, d) floating point, of all classes.
        rows: (m,) int64, rows of this rank's samples of the class.
        mean: (d,) float64 mean over all ranks.
        unit: Whether features are scaled to length one before centring.
        count: Samples of the class over all ranks.
        group: Process group whose ranks hold the samples; None for a single process.
    """

    features: Tensor
    rows: Tensor
    mean: Tensor
    unit: bool
    count: int
    group: Group

    def blocks(self) -> Iterator[Tensor]:
        """This rank's residuals in blocks (B, d) float64 that fit a processor's cache."""
        for block in row_blocks(self.features, self.rows, self.unit):
            yield block - self.mean

    def variances(self) -> Tensor:
        """(d,) float64 variance of each feature over all ranks."""
        squares = torch.zeros_like(self.mean)
        for block in self.blocks():
            squares += block.square().sum(dim=0)
        return sum_over_ranks(squares, self.group) / max(self.count, 1)

    def principal_axes(self, rank: int) -> tuple[Tensor, Tensor]:
        """The largest variances (r,) over all ranks and their axes (d, r), both float64.

        r is at most ``rank``: constant directions are dropped, and a class has at most one axis for
        every sixteen samples. The largest entry of each axis is positive, so that any sharding
        gives the same axes.
        """
        wanted = min(rank, max(self.count // SAMPLES_PER_AXIS, 1))
        if self.count < len(self.mean):  # the d × d scatter would cost d³
            rows = concat_over_ranks(
                torch.cat([*self.blocks(), self.mean.new_zeros(0, len(self.mean))]), self.group
            )
            variances, axes = gram_axes(rows / max(self.count, 1) ** 0.5, wanted)
        else:
            total = scatter_matrix(self.blocks(), like=self.features)
            covariance = sum_over_ranks(total, self.group) / self.count
            variances, axes = principal_axes(covariance, wanted)
        variances = of_first_rank(variances, self.group)
        axes = of_first_rank(axes.contiguous(), self.group)
        varies = variances > NOISE_FLOOR * variances[0].clamp(min=torch.finfo(torch.float64).tiny)
        variances, axes = variances[varies], axes[:, varies]
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        return variances, axes * largest.sign()


Fit = Callable[[ClassResiduals, int], Callable[[Tensor], Tensor]]
Layout = Callable[[FloatArray, int], FloatArray]


@dataclass(frozen=True)
class Kind:
    """How to compute the coordinates of one kind.

    Attributes:
        fit: Function of the residuals of a class and the largest number of coordinates. It returns
            the map of residuals (B, d) to coordinates (B, r), both float64. All ranks call it.
        ranked: Whether its name contains the number of coordinates, as in ``pca32``.
        white: Whether coordinates are uncorrelated with unit variance. Only such spaces define
            separation and start clusters from cuts of the neighbour graph.
        restarts: Random starts of k-means if the kind is not white.
        rank: Number of coordinates if the name contains none; None for all d.
        layout: Function of the coordinates (n, r) float32 of one class and a seed. It returns the
            points (n, r') to cluster. None clusters the coordinates themselves.
    """

    fit: Fit
    ranked: bool = False
    white: bool = False
    restarts: int = RESTARTS
    rank: int | None = None
    layout: Layout | None = None


KINDS: Registry[Kind] = Registry("kind of coordinates", "[a-z][a-z_]*")


def register_coordinates(
    name: str, *, ranked: bool = False, white: bool = False, restarts: int = RESTARTS
) -> Callable[[Fit], Fit]:
    """Decorator that makes a function the kind of coordinates ``name``; see :class:`Kind`.

    Args:
        name: Lower-case letters; ``recover(space="NAME/kmeans")`` then uses it.
        ranked: Whether the name contains the number of coordinates.
        white: Whether coordinates are uncorrelated with unit variance.
        restarts: Random starts of k-means for coordinates that are not white.

    Raises:
        ValueError: The name is taken or has other characters.
    """

    def register(fit: Fit) -> Fit:
        KINDS.add(name, Kind(fit, ranked, white, restarts))
        return fit

    return register


def register_layout(name: str) -> Callable[[Layout], Layout]:
    """Decorator that makes a function of one class's first 50 principal coordinates a kind.

    Args:
        name: Lower-case letters; ``recover(space="NAME/kmeans")`` then uses it.

    Raises:
        ValueError: The name is taken or has other characters.
    """

    def register(layout: Layout) -> Layout:
        KINDS.add(name, Kind(principal_coordinates, rank=LAID_OUT_FROM, layout=layout))
        return layout

    return register


@register_coordinates("raw", restarts=RESTARTS_RAW)
def residual_coordinates(residuals: ClassResiduals, rank: int) -> Callable[[Tensor], Tensor]:
    """All d residuals, in units of their root mean variance."""
    scale = root_mean(residuals.variances())
    return lambda block: block / scale


@register_coordinates("pca", ranked=True)
def principal_coordinates(residuals: ClassResiduals, rank: int) -> Callable[[Tensor], Tensor]:
    """Principal coordinates, in units of their root mean variance."""
    variances, axes = residuals.principal_axes(rank)
    axes = axes / root_mean(variances)
    return lambda block: block @ axes


@register_coordinates("white", ranked=True, white=True)
def whitened_coordinates(residuals: ClassResiduals, rank: int) -> Callable[[Tensor], Tensor]:
    """Principal coordinates, each of unit variance."""
    variances, axes = residuals.principal_axes(rank)
    axes = axes / variances.sqrt()
    return lambda block: block @ axes


@register_layout("tsne")
def tsne(points: FloatArray, seed: int) -> FloatArray:
    """(n, 2): t-SNE by openTSNE.

    Raises:
        ImportError: The library is not installed; the message names the extra.
    """
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise ImportError(_needs_extra("tsne")) from error
    perplexity = min(30, (len(points) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, random_state=seed).fit(points))


@register_layout("umap")
def umap(points: FloatArray, seed: int) -> FloatArray:
    """(n, 2): UMAP by umap-learn.

    Raises:
        ImportError: The library is not installed; the message names the extra.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(_needs_extra("umap")) from error
    return np.asarray(UMAP(random_state=seed, n_jobs=1).fit_transform(points))


def _needs_extra(name: str) -> str:
    return f'the space {name} needs a library: pip install "collapse-lit[embed]"'


def root_mean(variances: Tensor) -> Tensor:
    """The root mean variance, a common factor of all coordinates; 1 if all are constant."""
    scale = variances.mean().sqrt()
    return torch.where(scale > 0, scale, 1.0)


def row_blocks(features: Tensor, rows: Tensor, unit: bool) -> Iterator[Tensor]:
    """Blocks of rows (B, d) in float64 that fit a processor's cache; of length one if ``unit``."""
    for part in rows.split(ROWS_AT_A_TIME):
        block = features.index_select(0, part).double()
        yield torch.nn.functional.normalize(block, dim=1) if unit else block
