"""One candidate for a coarse class: the best clusters in one space, and how far halves agree."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure.clustering import FloatArray, IdArray, kmeans, separation, whitened
from collapse_lit.measure.recovery.clusterers import posteriors
from collapse_lit.measure.recovery.graph_cut import search
from collapse_lit.measure.recovery.spaces import Space


@dataclass(frozen=True)
class Candidate:
    """The k clusters found in one space."""

    space: Space
    points: FloatArray  # (n, r)
    k: int
    ids: IdArray  # (n,)
    even: bool  # whether the search took the optimum from even clusters
    separation: float


@dataclass(frozen=True)
class Halves:
    """The same procedure on two random halves, each extended to all samples."""

    posteriors: tuple[FloatArray, FloatArray]  # (n, k) each
    stability: float


def candidate_of(
    space: Space, points: FloatArray, k: int, seed: int, device: torch.device | None
) -> Candidate:
    """The ``k`` clusters of ``points`` (n, r), and how well they are separated."""
    ids, even = _optimum(points, k, space, seed, device)
    separated = separation(points, ids, k) if space.coordinates.white else float("nan")
    return Candidate(space, points, k, ids, even, separated)


def _optimum(
    points: FloatArray,
    k: int,
    space: Space,
    seed: int,
    device: torch.device | None,
    even: bool | None = None,
) -> tuple[IdArray, bool]:
    """k-means clusters (n,): by the search where points are whitened, by restarts elsewhere."""
    if k == 1:
        return np.zeros(len(points), dtype=np.int64), False
    if space.coordinates.white:
        return search(whitened(points), k, seed, device, even=even)
    restarts = space.coordinates.restarts
    return kmeans(points, k, seed, restarts=restarts, device=device), False


def posterior_of(candidate: Candidate, points: FloatArray, ids: IdArray, seed: int) -> FloatArray:
    """(n, k) at all points: clusters ``ids`` of some ``points``, refined by the clusterer."""
    clusterer = candidate.space.clusterer
    return posteriors(clusterer, points, ids, candidate.k, candidate.points, seed)


def cluster_halves(candidate: Candidate, seed: int, device: torch.device | None) -> Halves:
    """Cluster two disjoint halves of the samples (all of them twice where there are too few).

    Both take the optimum from the start that was taken on all samples. Left to choose, a half
    sometimes takes the other of two optima that are separated nearly alike, though it has both.
    """
    n, k = len(candidate.points), candidate.k
    if k == 1:
        certain = np.ones((n, 1), dtype=np.float32)
        return Halves((certain, certain), 1.0)
    order = np.random.default_rng(seed).permutation(n)
    halves = (order[: n // 2], order[n // 2 :]) if n >= 2 * k else (order, order)
    first, second = (
        _posterior_of_half(candidate, candidate.points[np.sort(half)], seed, device)
        for half in halves
    )
    agreement = adjusted_rand_score(first.argmax(axis=1), second.argmax(axis=1))
    return Halves((first, second), max(float(agreement), 0.0))


def _posterior_of_half(
    candidate: Candidate, half: FloatArray, seed: int, device: torch.device | None
) -> FloatArray:
    """(n, k) at all points: the clusters of a half (m, r) of them."""
    ids, _ = _optimum(half, candidate.k, candidate.space, seed, device, candidate.even)
    return posterior_of(candidate, half, ids, seed)
