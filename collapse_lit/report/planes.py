"""The scatter of each coarse class through the epochs, so that points move rather than jump.

A plane is known up to rotation and reflection, and clusters up to their numbers. From the epoch
that is shown first, each epoch is laid onto its neighbour by the samples that both have.
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
        rows: (n,) int64, the samples' places in the snapshot that is shown first.
        xy: (E, n, 2) float64 around 0, at every epoch on a scale of its own: of root mean square 1,
            or less where the points would not fit into the box of the epoch that is shown first.
            NaN where an epoch lacks a sample.
        cluster: (E, n) int64, numbered as in the snapshot that is shown first, or MISSING.
    """

    coarse: int
    rows: np.ndarray
    xy: np.ndarray
    cluster: np.ndarray


def evenly(known: Sequence[int], most: int, *always: int) -> list[int]:
    """At most that many of the epochs, the first and the last among them, and those of always."""
    places = np.linspace(0, len(known) - 1, min(most, len(known)))
    return sorted({known[round(place)] for place in places} | set(always))


def planes_through(snapshots: Sequence[Snapshot], shown: int) -> Iterator[Planes]:
    """The planes of every coarse class.

    Args:
        snapshots: E of them, with ``xy``, ``coarse``, ``cluster``, and where E > 1 ``index``.
        shown: the place of the one that is shown first, whose numbers of clusters hold.
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
    """Points (n, 2), rotated or reflected such that they come nearest to others (n, 2).

    Orthogonal Procrustes over the samples that are NaN in neither.
    """
    both = np.isfinite(xy).all(axis=1) & np.isfinite(onto).all(axis=1)
    left, _, right = np.linalg.svd(xy[both].T @ onto[both])
    return xy @ (left @ right)


def _fitted(xy: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Points (n, 2), drawn together as far as it needs to be where others (m, 2) are."""
    low, high = np.nanmin(box, axis=0), np.nanmax(box, axis=0)
    past = np.fmax(xy / np.where(high > 0, high, np.inf), xy / np.where(low < 0, low, -np.inf))
    return xy / max(1.0, float(np.nanmax(past, initial=1.0)))


def renumbered(cluster: np.ndarray, like: np.ndarray, free: int) -> np.ndarray:
    """Cluster numbers (n,), such that most samples keep the number that they have in another (n,).

    Hungarian matching over the samples that are MISSING in neither. A cluster that is matched to
    none takes the lowest number from ``free`` on that the other does not have.
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
    """Each place but the one shown, with its neighbour towards that: later ones, then earlier."""
    yield from ((place, place - 1) for place in range(shown + 1, epochs))
    yield from ((place, place + 1) for place in range(shown - 1, -1, -1))


def _places(index: np.ndarray, snapshot: Snapshot) -> np.ndarray:
    """(n,) where a snapshot has these samples, -1 where it does not."""
    place = {sample: row for row, sample in enumerate(snapshot["index"].tolist())}
    return np.array([place.get(sample, -1) for sample in index.tolist()], dtype=np.int64)


def _taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values at these places, NaN or MISSING where the place is -1."""
    if values.ndim == 2:
        return np.where(places[:, None] < 0, np.nan, values[places].astype(np.float64))
    return np.where(places < 0, MISSING, values[places].astype(np.int64))


def _scaled(xy: np.ndarray) -> np.ndarray:
    """Points (n, 2) around 0 and of root mean square 1; all 0 where they are one point."""
    there = np.isfinite(xy).all(axis=1)
    if not there.any():
        return xy
    centred = xy - xy[there].mean(axis=0)
    size = np.sqrt(np.square(centred[there]).sum(axis=1).mean())
    return centred / size if size > 0 else centred
