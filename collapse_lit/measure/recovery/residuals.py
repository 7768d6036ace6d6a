"""Centred features of the coarse classes, and their principal axes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from collapse_lit.measure.distributed import (
    Group,
    from_all_ranks,
    rank_and_size,
    rows_to_owners,
    sum_on_rank,
    sum_over_ranks,
)
from collapse_lit.measure.linalg import gram_axes, principal_axes, scatter_matrix

ROWS_AT_A_TIME = 2048  # float64 copies of these rows fit a processor's cache
NOISE_FLOOR = 1e-10  # axes below this share of the largest variance are rounding noise
SAMPLES_PER_AXIS = 16  # at least; limits the number of axes of a class

Axes = tuple[Tensor, Tensor]  # variances (r,) and axes (d, r)


@dataclass(frozen=True, eq=False)
class Residuals:
    """The centred features of all coarse classes, whose samples are sharded over the ranks.

    Attributes:
        features: (n_local, d) floating point.
        rows: (m,) int64 for each class, rows of this rank's samples.
        means: (C, d) float64 means over all ranks.
        counts: Samples of each class over all ranks.
        unit: Whether features are scaled to length one before centring.
        group: Process group whose ranks hold the samples; None for a single process.
    """

    features: Tensor
    rows: Sequence[Tensor]
    means: Tensor
    counts: Sequence[int]
    unit: bool
    group: Group
    _axes: dict[int, list[Axes]] = field(default_factory=dict, init=False)

    @classmethod
    def of(
        cls, features: Tensor, coarse: Tensor, num_coarse: int, unit: bool, group: Group
    ) -> "Residuals":
        """The residuals of features (n_local, d) with coarse labels (n_local,)."""
        counts, means = counts_and_means(features, coarse, num_coarse, group, unit=unit)
        rows = [torch.where(coarse == c)[0] for c in range(num_coarse)]
        return cls(features, rows, means, counts.tolist(), unit, group)

    def __iter__(self) -> Iterator["ClassResiduals"]:
        return (ClassResiduals(self, c) for c in range(len(self.counts)))

    def principal_axes(self, rank: int) -> list[Axes]:
        """The axes of each class; see :meth:`ClassResiduals.principal_axes`.

        The classes are shared out: a rank solves one of each round, and the others get the axes
        that it finds. So a rank holds few scatter matrices at a time. All ranks call it.
        """
        if rank not in self._axes:
            _, size = rank_and_size(self.group)
            starts = range(0, len(self.counts), size)
            self._axes[rank] = [axes for start in starts for axes in self._round(start, size, rank)]
        return self._axes[rank]

    def _round(self, start: int, size: int, rank: int) -> list[Axes]:
        """The axes of the classes from ``start`` on, one of each rank."""
        classes = [found for found in self if start <= found.coarse < start + size]
        scatters = [found.scatter_on(found.coarse - start) for found in classes]
        mine = slice(rank_and_size(self.group)[0], None, size)
        solved = from_all_ranks(
            lambda: [
                self._solved(scatter, found.coarse, rank)
                for scatter, found in zip(scatters[mine], classes[mine], strict=True)
            ],
            self.group,
            "find the axes of",
        )
        device = self.features.device
        return [(variances.to(device), axes.to(device)) for variances, axes in solved]

    def _solved(self, scatter: Tensor, c: int, rank: int) -> Axes:
        wanted = min(rank, max(self.counts[c] // SAMPLES_PER_AXIS, 1))
        solve = principal_axes if len(scatter) == scatter.shape[1] else gram_axes
        variances, axes = solve(scatter, wanted)
        tiny = torch.finfo(torch.float64).tiny
        varies = variances > NOISE_FLOOR * variances[0].clamp(min=tiny)
        variances, axes = variances[varies].cpu(), axes[:, varies].cpu()
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        return variances, axes * largest.sign()


@dataclass(frozen=True, eq=False)
class ClassResiduals:
    """The centred features of one coarse class.

    Attributes:
        among: The residuals of all classes.
        coarse: Number of the class.
    """

    among: Residuals
    coarse: int

    @property
    def rows(self) -> Tensor:
        """(m,) int64, rows of this rank's samples of the class."""
        return self.among.rows[self.coarse]

    @property
    def mean(self) -> Tensor:
        """(d,) float64 mean over all ranks."""
        return self.among.means[self.coarse]

    @property
    def count(self) -> int:
        """Samples of the class over all ranks."""
        return self.among.counts[self.coarse]

    def blocks(self) -> Iterator[Tensor]:
        """This rank's residuals in blocks (B, d) float64 that fit a processor's cache."""
        for block in row_blocks(self.among.features, self.rows, self.among.unit):
            yield block - self.mean

    def variances(self) -> Tensor:
        """(d,) float64 variance of each feature over all ranks."""
        squares = torch.zeros_like(self.mean)
        for block in self.blocks():
            squares += block.square().sum(dim=0)
        return sum_over_ranks(squares, self.among.group) / max(self.count, 1)

    def principal_axes(self, rank: int) -> Axes:
        """The largest variances (r,) over all ranks and their axes (d, r), both float64.

        r is at most ``rank``: constant directions are dropped, and a class has at most one axis for
        every sixteen samples. The largest entry of each axis is positive, so that any sharding
        gives the same axes.
        """
        return self.among.principal_axes(rank)[self.coarse]

    def scatter_on(self, owner: int) -> Tensor:
        """On one rank, what the axes follow from: the covariance (d, d), or n < d scaled rows.

        All ranks call it; on the others the result is of no use.
        """
        d, group = len(self.mean), self.among.group
        if self.count >= d:
            total = scatter_matrix(self.blocks(), like=self.among.features)
            return sum_on_rank(total, owner, group) / self.count
        rows = torch.cat([*self.blocks(), self.mean.new_zeros(0, d)])  # d × d would cost d³
        to = torch.full((len(rows),), owner, device=rows.device)
        return rows_to_owners(rows, to, group) / max(self.count, 1) ** 0.5


def counts_and_means(
    features: Tensor, coarse: Tensor, num_coarse: int, group: Group, *, unit: bool = False
) -> tuple[Tensor, Tensor]:
    """Number of samples (C,) and mean feature (C, d) of each coarse class over all ranks, in
    float64.
    """
    d = features.shape[1]
    sums = torch.zeros(num_coarse, d + 1, dtype=torch.float64, device=features.device)
    for c in range(num_coarse):
        rows = torch.where(coarse == c)[0]
        sums[c, d] = len(rows)
        for block in row_blocks(features, rows, unit):
            sums[c, :d] += block.sum(dim=0)
    sums = sum_over_ranks(sums, group)
    return sums[:, d].long(), sums[:, :d] / sums[:, d:].clamp(min=1)


def row_blocks(features: Tensor, rows: Tensor, unit: bool) -> Iterator[Tensor]:
    """Blocks of rows (B, d) in float64 that fit a processor's cache; of length one if ``unit``."""
    for part in rows.split(ROWS_AT_A_TIME):
        block = features.index_select(0, part).double()
        yield torch.nn.functional.normalize(block, dim=1) if unit else block
