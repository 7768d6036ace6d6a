"""One candidate for a coarse class: the best clusters in one space, and the agreement of halves."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure.clustering import FloatArray, IdArray, kmeans, separation, whitened
from collapse_lit.measure.recovery.clusterers import posteriors
from collapse_lit.measure.recovery.graph_cut import Found, Start, search
from collapse_lit.measure.recovery.lopsided import lopsided_split
from collapse_lit.measure.recovery.spaces import Space

FOLDS = 4  # of the samples, each of which is counted where the others show unequal clusters


@dataclass(frozen=True)
class Candidate:
    """The k clusters found in one space."""

    space: Space
    points: FloatArray  # (n, r)
    k: int
    ids: IdArray  # (n,)
    start: Start  # start of the chosen optimum
    separation: float  # -inf if a cluster is nearly empty; nan if not whitened
    own: float  # separation with the clusters' actual shares instead of equal shares
    other: Found | None = None  # the optimum that was not chosen


@dataclass(frozen=True)
class Halves:
    """The result of the same procedure on two random halves, each extended to all samples."""

    rows: tuple[IdArray, IdArray]  # the samples of each, in random order
    posteriors: tuple[FloatArray, FloatArray]  # (n, k) each, with the same numbering
    stability: float


def candidate_of(
    space: Space,
    points: FloatArray,
    k: int,
    seed: int,
    device: torch.device | None,
    start: Start | None = None,
) -> Candidate:
    """The ``k`` clusters of ``points`` (n, r) from one start, or from the best start."""
    found = _optimum(points, k, space, seed, device, start)
    separated, own = float("nan"), float("nan")
    if space.coordinates.white:
        separated = separation(points, found.ids, k)
        own = separation(points, found.ids, k, equal=False)
    return Candidate(space, points, k, found.ids, found.start, separated, own, found.other)


def _optimum(
    points: FloatArray,
    k: int,
    space: Space,
    seed: int,
    device: torch.device | None,
    start: Start | None = None,
) -> Found:
    """k-means clusters (n,): by the search for whitened points, else by restarts."""
    if k == 1:
        return Found(np.zeros(len(points), dtype=np.int64), Start.ANY)
    if not space.coordinates.white:
        restarts = space.coordinates.restarts
        return Found(kmeans(points, k, seed, restarts=restarts, device=device), Start.ANY)
    if start is Start.LOPSIDED:
        return Found(lopsided_split(whitened(points), seed), start)
    return search(whitened(points), k, seed, device, start=start)


def posterior_of(candidate: Candidate, points: FloatArray, ids: IdArray, seed: int) -> FloatArray:
    """Posteriors (n, k) at all points, from the clusters ``ids`` (n,) of some ``points``."""
    clusterer = candidate.space.clusterer
    return posteriors(clusterer, points, ids, candidate.k, candidate.points, seed)


def cluster_halves(candidate: Candidate, seed: int, device: torch.device | None) -> Halves:
    """Cluster two disjoint halves of the samples (or all samples twice if there are too few).

    Both halves use the start chosen on all samples. Otherwise a half sometimes chooses the other of
    two optima with nearly equal separation.
    """
    n, k = len(candidate.points), candidate.k
    if k == 1:
        certain = np.ones((n, 1), dtype=np.float32)
        return Halves((np.arange(0), np.arange(0)), (certain, certain), 1.0)
    order = np.random.default_rng(seed).permutation(n)
    halves = (order[: n // 2], order[n // 2 :]) if n >= 2 * k else (order, order)
    first, second = (
        _posterior_of_part(candidate, candidate.points[np.sort(half)], seed, device)
        for half in halves
    )
    second = aligned(second, first.argmax(axis=1))
    agreement = adjusted_rand_score(first.argmax(axis=1), second.argmax(axis=1))
    return Halves(halves, (first, second), max(float(agreement), 0.0))


def cluster_folds(
    candidate: Candidate, halves: Halves, seed: int, device: torch.device | None
) -> tuple[list[IdArray], list[IdArray]]:
    """The rows of each of four folds, and clusters (n,) of all samples found without them.

    Clusters are numbered as those of the halves. Three quarters of the samples show a small cluster
    better than a half does, and where it ends.
    """
    order = np.random.default_rng(seed).permutation(len(candidate.points))
    rows = [order[fold::FOLDS] for fold in range(FOLDS)]
    numbered = halves.posteriors[0].argmax(axis=1)
    ids = []
    for fold in rows:
        others = np.delete(candidate.points, fold, axis=0)
        posterior = _posterior_of_part(candidate, others, seed, device)
        ids.append(aligned(posterior, numbered).argmax(axis=1))
    return rows, ids


def aligned(posterior: FloatArray, ids: IdArray) -> FloatArray:
    """Permute the columns of the posterior (n, k) to agree best with ``ids`` (n,)."""
    return posterior[:, alike(posterior.argmax(axis=1), ids, posterior.shape[1])]


def alike(ids: IdArray, others: IdArray, k: int) -> IdArray:
    """(k,) for each cluster of ``others`` (n,), the matching cluster of ``ids`` (n,)."""
    counts = np.bincount(others * k + ids, minlength=k * k).reshape(k, k)
    return np.asarray(linear_sum_assignment(counts, maximize=True)[1])


def _posterior_of_part(
    candidate: Candidate, part: FloatArray, seed: int, device: torch.device | None
) -> FloatArray:
    """Posteriors (n, k) at all points, from the clusters of a part (m, r)."""
    ids = _optimum(part, candidate.k, candidate.space, seed, device, candidate.start).ids
    return posterior_of(candidate, part, ids, seed)
