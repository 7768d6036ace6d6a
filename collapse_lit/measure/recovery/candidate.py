"""One candidate for a coarse class: the best clusters in one space, and how far halves agree."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure.clustering import (
    FloatArray,
    IdArray,
    cluster_means,
    kmeans,
    separation,
    whitened,
)
from collapse_lit.measure.recovery.graph_cut import search
from collapse_lit.measure.recovery.mixture import mixture_posterior
from collapse_lit.measure.recovery.spaces import Space

RESTARTS = 10  # of k-means in spaces that are not whitened
RESTARTS_RAW = 3  # the same in all d dimensions, where a restart costs ten times as much


@dataclass(frozen=True)
class Candidate:
    """The k clusters found in one space."""

    space: str
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
    name: str,
    points: FloatArray,
    k: int,
    seed: int,
    device: torch.device | None,
) -> Candidate:
    """The ``k`` clusters of ``points`` (n, r), and how well they are separated."""
    ids, even = _optimum(points, k, name, seed, device)
    white = Space.parse(name).kind == "white"
    separated = separation(points, ids, k) if white else float("nan")
    return Candidate(name, points, k, ids, even, separated)


def _optimum(
    points: FloatArray,
    k: int,
    name: str,
    seed: int,
    device: torch.device | None,
    even: bool | None = None,
) -> tuple[IdArray, bool]:
    """k-means clusters (n,): by the search where points are whitened, by restarts elsewhere."""
    if k == 1:
        return np.zeros(len(points), dtype=np.int64), False
    kind = Space.parse(name).kind
    if kind == "white":
        return search(whitened(points), k, seed, device, even=even)
    restarts = RESTARTS_RAW if kind == "raw" else RESTARTS
    return kmeans(points, k, seed, restarts=restarts, device=device), False


def posterior_of(candidate: Candidate, points: FloatArray, ids: IdArray) -> FloatArray:
    """(n, k) at all points: clusters ``ids`` of some ``points``, refined by the clusterer."""
    if Space.parse(candidate.space).clusterer == "gmm":
        return mixture_posterior(points, ids, candidate.k, candidate.points).numpy()
    means = cluster_means(points, ids, candidate.k)
    shares = np.bincount(ids, minlength=candidate.k) / len(ids)
    total = np.einsum("nr,nr->", points, points, dtype=np.float64) / len(points)
    within = (total - shares @ np.square(means).sum(axis=1)) / points.shape[1]
    squared = np.square(means).sum(axis=1) - 2 * candidate.points @ means.T  # but for ‖x‖²
    logits = torch.from_numpy(-squared / (2 * max(within, 1e-12)))
    return logits.softmax(dim=1).numpy()


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
        posterior_of(
            candidate, some, _optimum(some, k, candidate.space, seed, device, candidate.even)[0]
        )
        for some in (candidate.points[np.sort(half)] for half in halves)
    )
    agreement = adjusted_rand_score(first.argmax(axis=1), second.argmax(axis=1))
    return Halves((first, second), max(float(agreement), 0.0))
