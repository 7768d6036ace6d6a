"""Align the scatter of each coarse class over the epochs, so that points move rather than jump.

A plane has an arbitrary rotation and reflection, and clusters have arbitrary numbers. Starting at
the epoch that is shown first, each epoch is aligned with its neighbour on their common samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

Snapshot = Mapping[str, np.ndarray]

MISSING = -1  # the cluster of a sample that an epoch lacks


@dataclass(frozen=True, eq=False)
class Planes:
    """n samples of one coarse class at E epochs.

    Attributes:
        coarse: number of the coarse class.
        rows: (n,) int64 rows of the samples in the snapshot that is shown first.
        xy: (E, n, 2) float64, centred. Each epoch has a root mean square of 1, or less if its
            points would leave the box of the epoch that is shown first. NaN for missing samples.
        cluster: (E, n) int64, numbered as in the snapshot that is shown first, or MISSING.
    """

    coarse: int
    rows: np.ndarray
    xy: np.ndarray
    cluster: np.ndarray


def evenly(known: Sequence[int], most: int, *always: int) -> list[int]:
    """At most ``most`` epochs, evenly spaced, with the first and the last; plus ``always``."""
    places = np.linspace(0, len(known) - 1, min(most, len(known)))
    return sorted({known[round(place)] for place in places} | set(always))


def planes_through(snapshots: Sequence[Snapshot], shown: int) -> Iterator[Planes]:
    """Aligned planes of every coarse class.

    Args:
        snapshots: E snapshots with ``xy``, ``coarse``, ``cluster``, and ``index`` if E > 1.
        shown: position of the snapshot that is shown first; it sets the cluster numbers.
    """
    first = snapshots[shown]
    free = int(first["cluster"].max(initial=-1)) + 1
    for coarse in np.unique(first["coarse"]).tolist():
        rows = np.flatnonzero(first["coarse"] == coarse)
        at = [rows if s is first else _places(first["index"][rows], s) for s in snapshots]
        pairs = list(zip(snapshots, at, strict=True))
        xy = np.stack([_scaled(_taken(s["xy"], places)) for s, places in pairs])
        cluster = np.stack([_taken(s["cluster"], places) for s, places in pairs])
        for epoch, neighbour in _outward(len(snapshots), shown):
            xy[epoch] = _fitted(turned(xy[epoch], xy[neighbour]), xy[shown])
            cluster[epoch] = renumbered(cluster[epoch], cluster[neighbour], free)
        free = max(free, int(cluster.max(initial=-1)) + 1)
        yield Planes(coarse, rows, xy, cluster)


def turned(xy: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Rotate or reflect points (n, 2) to lie closest to the points ``onto`` (n, 2).

    This is orthogonal Procrustes on the samples without NaN in both.
    """
    both = np.isfinite(xy).all(axis=1) & np.isfinite(onto).all(axis=1)
    left, _, right = np.linalg.svd(xy[both].T @ onto[both])
    return xy @ (left @ right)


def _fitted(xy: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Shrink points (n, 2) until they fit into the bounding box of the points ``box`` (m, 2)."""
    low, high = np.nanmin(box, axis=0), np.nanmax(box, axis=0)
    past = np.fmax(xy / np.where(high > 0, high, np.inf), xy / np.where(low < 0, low, -np.inf))
    return xy / max(1.0, float(np.nanmax(past, initial=1.0)))


def renumbered(cluster: np.ndarray, like: np.ndarray, free: int) -> np.ndarray:
    """Renumber clusters (n,) so that most samples keep their number in ``like`` (n,).

    This is Hungarian matching on the samples that are not MISSING in both. A cluster without a
    match takes the lowest number from ``free`` on that ``like`` does not use.
    """
    both = (cluster != MISSING) & (like != MISSING)
    mine, theirs = (np.unique(ids[ids != MISSING]) for ids in (cluster, like))
    shared = np.zeros((len(mine), len(theirs)), dtype=np.int64)
    np.add.at(
        shared, (np.searchsorted(mine, cluster[both]), np.searchsorted(theirs, like[both])), 1
    )
    pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    known = {int(mine[i]): int(theirs[j]) for i, j in pairs if shared[i, j]}
    new = (n for n in range(free, free + len(mine) + len(theirs)) if n not in theirs)
    numbers = {c: known[c] if c in known else next(new) for c in mine.tolist()} | {MISSING: MISSING}
    return np.array([numbers[c] for c in cluster.tolist()], dtype=np.int64)


def _outward(epochs: int, shown: int) -> Iterator[tuple[int, int]]:
    """Positions other than ``shown``, each with its neighbour towards ``shown``."""
    yield from ((place, place - 1) for place in range(shown + 1, epochs))
    yield from ((place, place + 1) for place in range(shown - 1, -1, -1))


def _places(index: np.ndarray, snapshot: Snapshot) -> np.ndarray:
    """(n,) rows of these samples in a snapshot, -1 for missing samples."""
    place = {sample: row for row, sample in enumerate(snapshot["index"].tolist())}
    return np.array([place.get(sample, -1) for sample in index.tolist()], dtype=np.int64)


def _taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values at these rows; NaN or MISSING for row -1."""
    if values.ndim == 2:
        return np.where(places[:, None] < 0, np.nan, values[places].astype(np.float64))
    return np.where(places < 0, MISSING, values[places].astype(np.int64))


def _scaled(xy: np.ndarray) -> np.ndarray:
    """Centre points (n, 2) and scale them to a root mean square of 1, unless all are equal."""
    there = np.isfinite(xy).all(axis=1)
    if not there.any():
        return xy
    centred = xy - xy[there].mean(axis=0)
    size = np.sqrt(np.square(centred[there]).sum(axis=1).mean())
    return centred / size if size > 0 else centred
