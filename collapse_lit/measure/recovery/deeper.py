"""Look into each distinct cluster again: an easy split can hide finer ones.

Of three kinds, two of which lie close together, ``k="auto"`` finds two clusters: halves agree best
on the easy split, which also dominates the axes. Inside the cluster, the other split shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.clustering import FloatArray, IdArray, separation, whitened
from collapse_lit.measure.recovery.clusters import ClassClusters, ClassPoints
from collapse_lit.measure.recovery.plane import discriminant_plane, mean_silhouette
from collapse_lit.measure.recovery.residuals import SAMPLES_PER_AXIS

SMALLEST = 100  # smallest number of samples of a cluster to divide


def divided_again(
    samples: ClassPoints,
    found: ClassClusters,
    divide: Callable[[ClassPoints], ClassClusters],
    seed: int,
) -> ClassClusters:
    """Replace each cluster by its own clusters where these are distinct too.

    Args:
        samples: the class.
        found: its clusters. They are returned as they are if they are not distinct, or if none of
            them divides.
        divide: estimates the clusters of a set of samples.
        seed: seed of the silhouette's samples.
    """
    if not found.distinct:
        return found
    parts = [torch.where(found.ids == cluster)[0] for cluster in range(found.k)]
    inside = [divide(_alone(samples, rows)) if len(rows) >= SMALLEST else None for rows in parts]
    finer = [_Finer(i, rows, c) for i, (rows, c) in enumerate(zip(parts, inside, strict=True))]
    if not any(part.divides for part in finer):
        return found
    return _joined(samples, found, finer, seed)


def _alone(samples: ClassPoints, rows: Tensor) -> ClassPoints:
    """Some of the samples, whitened alone on the leading axes of the class."""
    axes = max(len(rows) // SAMPLES_PER_AXIS, 1)
    points = {
        space: whitened(np.ascontiguousarray(part[rows.numpy(), :axes]))
        for space, part in samples.points.items()
    }
    return ClassPoints(samples.coarse, samples.index[rows], points)


@dataclass(frozen=True, eq=False)
class _Finer:
    """One cluster of the first division: its number, rows (n,) of the class, and its clusters."""

    cluster: int
    rows: Tensor
    inside: ClassClusters | None

    @property
    def divides(self) -> bool:
        return self.inside is not None and self.inside.distinct

    @property
    def k(self) -> int:
        return self.inside.k if self.inside is not None and self.divides else 1

    def ids(self) -> Tensor:
        if self.inside is not None and self.divides:
            return self.inside.ids
        return torch.zeros(len(self.rows), dtype=torch.int64)


def _joined(
    samples: ClassPoints, found: ClassClusters, finer: Sequence[_Finer], seed: int
) -> ClassClusters:
    """All clusters side by side, with the probabilities of both divisions multiplied."""
    unordered = torch.zeros_like(found.ids)
    confidence, second = found.confidence.clone(), found.confidence - found.margin
    valleys: list[float] = []
    parents: list[int] = []
    stability = found.stability
    for part in finer:
        unordered[part.rows] = len(parents) + part.ids()
        parents += [part.cluster] * part.k
        valleys += [found.valleys[part.cluster]] * part.k
        if part.inside is None or not part.divides:
            continue
        likely = found.confidence[part.rows]
        sibling = likely * (part.inside.confidence - part.inside.margin)
        confidence[part.rows] = likely * part.inside.confidence
        second[part.rows] = torch.maximum(second[part.rows], sibling)
        valleys[-part.k :] = [max(valleys[-1], p) for p in part.inside.valleys]
        stability = min(stability, part.inside.stability)
    order, ids = _by_first_sample(unordered.numpy())
    k = len(order)
    points = _points_of(samples, found)
    plane = discriminant_plane(points, ids, k)
    return replace(
        found,
        ids=torch.from_numpy(ids),
        confidence=confidence,
        margin=confidence - second,
        xy=torch.from_numpy(plane),
        k=k,
        separation=separation(points, ids, k, equal=False),
        stability=stability,
        silhouette=mean_silhouette(plane, ids, seed),
        valleys=tuple(valleys[old] for old in order),
        parents=tuple(parents[old] for old in order),
    )


def _points_of(samples: ClassPoints, found: ClassClusters) -> FloatArray:
    """The class's points in the space of the first division."""
    return next(part for space, part in samples.points.items() if space.unit == found.space.unit)


def _by_first_sample(ids: IdArray) -> tuple[list[int], IdArray]:
    """The clusters in the order of their first samples, and the ids (n,) renumbered."""
    _, first, ids = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return order.tolist(), np.argsort(order)[ids]
