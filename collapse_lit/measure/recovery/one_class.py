"""The clusters of one coarse class: the space, the number and how sure, without a fine label."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.candidate import (
    Candidate,
    Halves,
    candidate_of,
    cluster_halves,
    posterior_of,
)
from collapse_lit.measure.recovery.plane import discriminant_plane, mean_silhouette
from collapse_lit.measure.recovery.spaces import Space

CANDIDATES = ("white32/gmm", "unit-white32/gmm")
MOST_CLUSTERS = 8  # that k="auto" considers
GAUSSIAN = -0.186  # ½ ln(π / (π − 2)) − ln 2: separation of a Gaussian cut in two at its mean
REPRODUCIBLE = 0.5  # stability below which k="auto" sees no sub-structure
NEARLY = 0.02  # difference in stability that decides nothing


@dataclass(frozen=True)
class ClassClusters:
    """What was found in one coarse class; fields as in ``Recovery``, for its n samples."""

    ids: IdArray  # (n,) in 0..k-1
    confidence: FloatArray  # (n,)
    margin: FloatArray  # (n,)
    xy: FloatArray  # (n, 2)
    space: str  # as offered
    rank: int  # coordinates that it has in this class
    k: int
    separation: float
    stability: float
    silhouette: float


def cluster_class(
    points: Mapping[str, FloatArray],
    k: int | None,
    seed: int,
    device: torch.device | None = None,
) -> ClassClusters:
    """Cluster one coarse class in the best of the spaces offered.

    In each space and for each number of clusters the best k-means optimum is found, from cuts of
    the graph of neighbours. How well it is separated and how far two random halves of the samples
    agree on it choose between them (``_choose_space``, ``_choose_number``). The space's
    clusterer then refines the choice.

    Args:
        points: per space name the points (n, r) float32; n ≥ k.
        k: number of clusters, ``None`` to estimate it; then 1 is a possible answer.
        seed: another seed, other starts and halves.
        device: where Faiss works.

    Raises:
        ValueError: the number is to be estimated in a space that is not whitened.
    """
    spaces = {name: _varying(p) for name, p in points.items()}
    candidates = [
        candidate_of(name, p, clusters, seed, device)
        for name, p in spaces.items()
        for clusters in _numbers(k, name, len(p))
    ]
    choose = _choose_number if k is None else _choose_space
    best, halves = choose(candidates, lambda c: cluster_halves(c, seed, device))
    if best.k == 1 or not best.points.any():
        return _undivided(best)

    posterior = posterior_of(best, best.points, best.ids)  # (n, k)
    posterior = posterior[:, _in_order_of_appearance(posterior.argmax(axis=1), best.k)]
    ids = posterior.argmax(axis=1)
    mean = np.mean([posterior, *(_aligned(half, ids) for half in halves.posteriors)], axis=0)
    confidence = mean[np.arange(len(ids)), ids]
    mean[np.arange(len(ids)), ids] = 0.0
    plane = discriminant_plane(best.points, ids, best.k)
    return ClassClusters(
        ids=ids,
        confidence=confidence.astype(np.float32),
        margin=(confidence - mean.max(axis=1)).astype(np.float32),
        xy=plane,
        space=best.space,
        rank=best.points.shape[1],
        k=best.k,
        separation=best.separation,
        stability=halves.stability,
        silhouette=mean_silhouette(plane, ids, seed),
    )


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
    candidates: Sequence[Candidate], halves_of: Callable[[Candidate], Halves]
) -> tuple[Candidate, Halves]:
    """The number of clusters that the halves agree on best; of (nearly) equal ones the best fit.

    Real classes are no Gaussians, and separation alone would split them without end. A number needs
    positive separation, more than the one cluster of k = 1, and reproducible clusters.
    """
    undivided = next(c for c in candidates if c.k == 1)
    contenders = []
    for k in sorted({c.k for c in candidates} - {1}):
        best = max((c for c in candidates if c.k == k), key=lambda c: c.separation)
        if best.separation > 0:
            contenders.append((best, halves_of(best)))
    most = max((halves.stability for _, halves in contenders), default=0.0)
    if most < REPRODUCIBLE:
        return undivided, halves_of(undivided)
    return max(
        ((c, halves) for c, halves in contenders if halves.stability >= most - NEARLY),
        key=lambda contender: contender[0].separation,
    )


def _undivided(candidate: Candidate) -> ClassClusters:
    """One cluster: no sub-structure, or no two samples that differ."""
    n = len(candidate.points)
    ids = np.zeros(n, dtype=np.int64)
    return ClassClusters(
        ids=ids,
        confidence=np.ones(n, dtype=np.float32),
        margin=np.ones(n, dtype=np.float32),
        xy=discriminant_plane(candidate.points, ids, 1),
        space=candidate.space,
        rank=candidate.points.shape[1],
        k=candidate.k,
        separation=0.0,
        stability=1.0 if candidate.k == 1 else 0.0,
        silhouette=0.0,
    )


def _varying(points: FloatArray) -> FloatArray:
    """The points without columns that are zero throughout; at least one column."""
    columns = np.flatnonzero((points.max(axis=0) > 0) | (points.min(axis=0) < 0))
    if len(columns) == points.shape[1]:
        return points
    return np.ascontiguousarray(points[:, columns if len(columns) else [0]])


def _numbers(k: int | None, name: str, n: int) -> range:
    """The numbers of clusters to try."""
    if k is not None:
        return range(k, k + 1)
    if Space.parse(name).kind != "white":
        raise ValueError(f"k='auto' needs a whitened space such as 'white32/gmm', not {name!r}")
    return range(1, min(MOST_CLUSTERS, n) + 1)


def _in_order_of_appearance(ids: IdArray, k: int) -> IdArray:
    """(k,) clusters by their first sample: a numbering that owes nothing to the starts."""
    first = [np.flatnonzero(ids == j)[0] if (ids == j).any() else len(ids) for j in range(k)]
    return np.argsort(first, kind="stable")


def _aligned(posterior: FloatArray, ids: IdArray) -> FloatArray:
    """The posterior (n, k) with its columns permuted to agree best with ``ids``."""
    k = posterior.shape[1]
    counts = np.bincount(ids * k + posterior.argmax(axis=1), minlength=k * k).reshape(k, k)
    return posterior[:, linear_sum_assignment(counts, maximize=True)[1]]
