"""Cluster one coarse class: choose space and number of clusters without fine labels."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from collapse_lit.measure.clustering import FloatArray, IdArray, whitened
from collapse_lit.measure.neighbours import remembered_neighbours
from collapse_lit.measure.recovery.candidate import Candidate, aligned, alike
from collapse_lit.measure.recovery.choice import Chooser
from collapse_lit.measure.recovery.clusters import ClassClusters, ClassPoints
from collapse_lit.measure.recovery.deeper import divided_again
from collapse_lit.measure.recovery.plane import discriminant_plane, mean_silhouette
from collapse_lit.measure.recovery.refine import refined, tempered
from collapse_lit.measure.recovery.spaces import Space


def cluster_class(
    samples: ClassPoints, k: int | None, seed: int, device: torch.device | None = None
) -> ClassClusters:
    """Cluster one coarse class in the best of the candidate spaces.

    For each space and number of clusters, k-means starts from cuts of the neighbour graph and keeps
    the best optimum. Separation and the agreement of two random halves choose between the optima
    (:class:`Chooser`). The space's clusterer then refines the choice. Distinct clusters of an
    estimated number are looked into again (:func:`~.deeper.divided_again`).

    Args:
        samples: the class; n ≥ k.
        k: number of clusters, ``None`` to estimate it; 1 is then possible.
        seed: seed of starts and halves.
        device: where large searches run, if it is a GPU.

    Raises:
        ValueError: the clusterer of a space returns invalid posteriors.
    """
    first, copy_of = _without_copies(samples.points)
    if len(first) == len(copy_of) or len(first) < 2 * (k or 2):
        return _divided(samples, k, seed, device)
    points = {
        space: whitened(part[first]) if space.coordinates.white else part[first]
        for space, part in samples.points.items()
    }
    found = _divided(ClassPoints(samples.coarse, samples.index[first], points), k, seed, device)
    spread = torch.from_numpy(copy_of)
    return replace(
        found,
        index=samples.index,
        ids=found.ids[spread],
        confidence=found.confidence[spread],
        margin=found.margin[spread],
        xy=found.xy[spread],
    )


def _without_copies(points: Mapping[Space, FloatArray]) -> tuple[IdArray, IdArray]:
    """(m,) the first sample of each group of equal samples, ascending, and each sample's group
    (n,).

    Copies of a sample are its nearest neighbours, and would count as additional samples.
    """
    rows = next(iter(points.values()))
    as_bytes = np.ascontiguousarray(rows).view(f"V{rows.itemsize * rows.shape[1]}").ravel()
    _, first, group = np.unique(as_bytes, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.sort(first), rank[group]


def _divided(
    samples: ClassPoints, k: int | None, seed: int, device: torch.device | None
) -> ClassClusters:
    """The clusters of samples without copies."""
    found = _cluster(samples, k, seed, device)
    if k is not None:
        return found
    return divided_again(samples, found, partial(_cluster, k=None, seed=seed, device=device), seed)


def _cluster(
    samples: ClassPoints, k: int | None, seed: int, device: torch.device | None
) -> ClassClusters:
    chooser = Chooser(
        {space: _varying(points) for space, points in samples.points.items()}, seed, device
    )
    with remembered_neighbours():
        choice = chooser.given(k) if k is not None else chooser.estimated()
    best, halves = choice.candidate, choice.halves
    if best.k == 1 or not best.points.any():
        return _undivided(samples, best)

    posteriors = refined(choice, chooser.plainest, seed)  # (n, k) each
    final = posteriors[0][:, _in_order_of_appearance(posteriors[0].argmax(axis=1), best.k)]
    ids = final.argmax(axis=1)
    mean = np.mean([aligned(posterior, ids) for posterior in posteriors], axis=0)
    number = alike(halves.posteriors[0].argmax(axis=1), ids, best.k)
    p, depth = choice.valleys.p[number], choice.valleys.depth[number]
    mean = tempered(mean, depth[ids], halves.stability)
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
        valleys=tuple(p.tolist()),
        parents=tuple(range(best.k)),
    )


def _undivided(samples: ClassPoints, candidate: Candidate) -> ClassClusters:
    """One cluster, for a class without sub-structure or with all samples equal."""
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
        parents=tuple(range(candidate.k)),
    )


def _varying(points: FloatArray) -> FloatArray:
    """The points without columns of zeros; at least one column is kept."""
    columns = np.flatnonzero((points.max(axis=0) > 0) | (points.min(axis=0) < 0))
    if len(columns) == points.shape[1]:
        return points
    return np.ascontiguousarray(points[:, columns if len(columns) else [0]])


def _in_order_of_appearance(ids: IdArray, k: int) -> IdArray:
    """(k,) clusters ordered by their first sample, so that the numbering does not depend on the
    starts.
    """
    first = [np.flatnonzero(ids == j)[0] if (ids == j).any() else len(ids) for j in range(k)]
    return np.argsort(first, kind="stable")
