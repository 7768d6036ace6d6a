"""The clusters of one coarse class: the space, the number and how sure, without a fine label."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.candidate import (
    Candidate,
    Halves,
    candidate_of,
    cluster_halves,
    posterior_of,
)
from collapse_lit.measure.recovery.clusters import ClassClusters
from collapse_lit.measure.recovery.plane import discriminant_plane, mean_silhouette
from collapse_lit.measure.recovery.spaces import Space
from collapse_lit.measure.recovery.valley import VALLEY, valleys

MOST_CLUSTERS = 8  # that k="auto" considers
GAUSSIAN = -0.186  # ½ ln(π / (π − 2)) − ln 2: separation of a Gaussian cut in two at its mean
REPRODUCIBLE = 0.5  # stability below which k="auto" sees no sub-structure
NEARLY = 0.02  # difference in stability that decides nothing


@dataclass(frozen=True, eq=False)
class ClassPoints:
    """The samples of one coarse class, from all ranks, in each space on offer.

    Attributes:
        coarse: number of the coarse class.
        index: (n,) int64 sample ids, ascending.
        points: per space the points (n, r) float32.
    """

    coarse: int
    index: Tensor
    points: Mapping[Space, FloatArray]


def cluster_class(
    samples: ClassPoints, k: int | None, seed: int, device: torch.device | None = None
) -> ClassClusters:
    """Cluster one coarse class in the best of the spaces offered.

    In each space and for each number of clusters the best k-means optimum is found, from cuts of
    the graph of neighbours. How well it is separated and how far two random halves of the samples
    agree on it choose between them (``_choose_space``, ``_choose_number``). The space's
    clusterer then refines the choice.

    Args:
        samples: the class; n ≥ k.
        k: number of clusters, ``None`` to estimate it; then 1 is a possible answer.
        seed: another seed, other starts and halves.
        device: where Faiss works.

    Raises:
        ValueError: the clusterer of a space returns no posteriors.
    """
    spaces = {space: _varying(points) for space, points in samples.points.items()}
    candidates = [
        candidate_of(space, points, clusters, seed, device)
        for space, points in spaces.items()
        for clusters in _numbers(k, len(points))
    ]
    plain = _plain(spaces)

    def halves_of(candidate: Candidate) -> Halves:
        return cluster_halves(candidate, seed, device)

    def valley_of(candidate: Candidate) -> float:
        return float(valleys(plain, candidate.ids, candidate.k, seed).max())

    best, halves = (
        _choose_space(candidates, halves_of)
        if k is not None
        else _choose_number(candidates, halves_of, valley_of)
    )
    if best.k == 1 or not best.points.any():
        return _undivided(samples, best)

    posterior = posterior_of(best, best.points, best.ids, seed)  # (n, k)
    posterior = posterior[:, _in_order_of_appearance(posterior.argmax(axis=1), best.k)]
    ids = posterior.argmax(axis=1)
    mean = np.mean([posterior, *(_aligned(half, ids) for half in halves.posteriors)], axis=0)
    confidence = mean[np.arange(len(ids)), ids]
    mean[np.arange(len(ids)), ids] = 0.0
    plane = discriminant_plane(best.points, ids, best.k)
    return ClassClusters(
        coarse=samples.coarse,
        index=samples.index,
        ids=torch.from_numpy(ids),
        confidence=torch.from_numpy(confidence.astype(np.float32)),
        margin=torch.from_numpy((confidence - mean.max(axis=1)).astype(np.float32)),
        xy=torch.from_numpy(plane),
        space=best.space.with_rank(best.points.shape[1]),
        k=best.k,
        separation=best.separation,
        stability=halves.stability,
        silhouette=mean_silhouette(plane, ids, seed),
        valleys=tuple(valleys(plain, ids, best.k, seed).tolist()),
    )


def _plain(spaces: Mapping[Space, FloatArray]) -> FloatArray:
    """The points in a space on offer that scales no sample: unit length bends straight lines."""
    return min(spaces.items(), key=lambda item: item[0].unit)[1]


def _choose_space(
    candidates: Sequence[Candidate], halves_of: Callable[[Candidate], Halves]
) -> tuple[Candidate, Halves]:
    """The largest product of stability and separation beyond that of an unstructured Gaussian.

    Separation alone can be high by chance, stability alone for a cut that any Gaussian has along
    its longest axis. The halves, which cost as much as the search itself, are left out where even
    full stability could not win.
    """
    by_separation = sorted(candidates, key=lambda c: -round(c.separation, 4))
    best, halves = by_separation[0], halves_of(by_separation[0])
    for other in by_separation[1:]:
        if max(other.separation - GAUSSIAN, 0) > _score(best, halves):
            others = halves_of(other)
            if round(_score(other, others), 4) > round(_score(best, halves), 4):
                best, halves = other, others
    return best, halves


def choice_score(separation: float, stability: float) -> float:
    """What is chosen by: separation beyond that of an unstructured Gaussian, times stability."""
    return max(separation - GAUSSIAN, 0) * stability


def _score(candidate: Candidate, halves: Halves) -> float:
    return choice_score(candidate.separation, halves.stability)


def _choose_number(
    candidates: Sequence[Candidate],
    halves_of: Callable[[Candidate], Halves],
    valley_of: Callable[[Candidate], float],
) -> tuple[Candidate, Halves]:
    """The number of clusters that the halves agree on best; of (nearly) equal ones the best fit.

    Real classes are no Gaussians, and separation alone would split them without end. A number needs
    positive separation, more than the one cluster of k = 1, reproducible clusters, and a valley of
    density around each.
    """
    undivided = next(c for c in candidates if c.k == 1)
    contenders = []
    for k in sorted({c.k for c in candidates} - {1}):
        best = max((c for c in candidates if c.k == k), key=lambda c: c.separation)
        if best.separation > 0 and valley_of(best) <= VALLEY:
            contenders.append((best, halves_of(best)))
    most = max((halves.stability for _, halves in contenders), default=0.0)
    if most < REPRODUCIBLE:
        return undivided, halves_of(undivided)
    return max(
        ((c, halves) for c, halves in contenders if halves.stability >= most - NEARLY),
        key=lambda contender: contender[0].separation,
    )


def _undivided(samples: ClassPoints, candidate: Candidate) -> ClassClusters:
    """One cluster: no sub-structure, or no two samples that differ."""
    n = len(candidate.points)
    ids = np.zeros(n, dtype=np.int64)
    return ClassClusters(
        coarse=samples.coarse,
        index=samples.index,
        ids=torch.from_numpy(ids),
        confidence=torch.ones(n),
        margin=torch.ones(n),
        xy=torch.from_numpy(discriminant_plane(candidate.points, ids, 1)),
        space=candidate.space.with_rank(candidate.points.shape[1]),
        k=candidate.k,
        separation=0.0,
        stability=1.0 if candidate.k == 1 else 0.0,
        silhouette=0.0,
        valleys=(1.0,) * candidate.k,
    )


def _varying(points: FloatArray) -> FloatArray:
    """The points without columns that are zero throughout; at least one column."""
    columns = np.flatnonzero((points.max(axis=0) > 0) | (points.min(axis=0) < 0))
    if len(columns) == points.shape[1]:
        return points
    return np.ascontiguousarray(points[:, columns if len(columns) else [0]])


def _numbers(k: int | None, n: int) -> range:
    """The numbers of clusters to try."""
    return range(1, min(MOST_CLUSTERS, n) + 1) if k is None else range(k, k + 1)


def _in_order_of_appearance(ids: IdArray, k: int) -> IdArray:
    """(k,) clusters by their first sample: a numbering that owes nothing to the starts."""
    first = [np.flatnonzero(ids == j)[0] if (ids == j).any() else len(ids) for j in range(k)]
    return np.argsort(first, kind="stable")


def _aligned(posterior: FloatArray, ids: IdArray) -> FloatArray:
    """The posterior (n, k) with its columns permuted to agree best with ``ids``."""
    k = posterior.shape[1]
    counts = np.bincount(ids * k + posterior.argmax(axis=1), minlength=k * k).reshape(k, k)
    return posterior[:, linear_sum_assignment(counts, maximize=True)[1]]
