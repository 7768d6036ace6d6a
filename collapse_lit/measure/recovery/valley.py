"""Whether a valley of density lies between clusters, or one shape was cut in pieces.

A curve, a gradient of light or a Gaussian can be cut into clusters that are stable and look well
separated. What it lacks is a valley. The test looks for one where two clusters are joined most
closely, on a line that is short enough for a curve to be straight, with one half of the samples to
say where and the other half to count:

- H₀: on that line, the density at the valley is no lower than at the lower of two peaks.
- p: of as few samples at the valley, given those at the valley and at that peak, which are equally
  likely under H₀ in windows of equal width. It is an exact binomial test, the larger of two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.stats import binom

from collapse_lit.measure.clustering import FloatArray, IdArray, kmeans

VALLEY = 0.01  # p-value from which on there is no valley to speak of
CELLS = ((160, 4), (80, 2), (0, 1))  # of a cluster with so many samples in a half, or more
LEAST = 10  # samples of a cluster in a half, and of the two cells of a line
HALVINGS = 3  # into halves, each of which says where for the other
MOST = 20_000  # samples that are looked at
SHRINKAGE = 0.1  # of the covariance within clusters to a multiple of the identity
WINDOW = 0.125  # half the width of a window; the line goes from 0 to 1
PLACES = np.linspace(-0.5, 1.5, 41)
BETWEEN = (PLACES >= 0.2) & (PLACES <= 0.8)

Points = NDArray[np.float64]


def valleys(points: FloatArray, ids: IdArray, k: int, seed: int) -> Points:
    """How sure it is that each cluster is cut off from the others by a valley of density.

    Args:
        points: (n, r) of one coarse class, in a space that was not chosen to show clusters.
        ids: (n,) clusters in 0..k-1.
        k: number of clusters.
        seed: seed of the halves.

    Returns:
        (k,) p-values, twice the median over the halves; 1 for k = 1, where all samples are alike,
        and where a cluster or the samples between two are too few to tell.
    """
    if k == 1 or not np.ptp(points, axis=0).any():
        return np.ones(k)
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(ids))[:MOST]
    x, y = points[some].astype(np.float64), ids[some]
    tested = []
    for _ in range(HALVINGS):
        order = rng.permutation(len(y))
        halves = order[: len(y) // 2], order[len(y) // 2 :]
        for say, count in (halves, halves[::-1]):
            tested.append(_between_clusters(x, y, k, say, count, seed))
    p = np.minimum(2 * np.median(tested, axis=0), 1.0)  # (k, k)
    np.fill_diagonal(p, 0.0)
    return p.max(axis=1)


def _between_clusters(
    x: Points, y: IdArray, k: int, say: IdArray, count: IdArray, seed: int
) -> Points:
    """(k, k) p-values of each pair of clusters; 1 where there are too few samples."""
    p = np.ones((k, k))
    if np.bincount(y[say], minlength=k).min() < LEAST:
        return p
    x = x @ _whitening(x[say], y[say], k)
    cells = [_Cells.of(x, y, c, say, count, seed) for c in range(k)]
    for a in range(k):
        for b in range(a):
            p[a, b] = p[b, a] = _between_two(cells[a], cells[b])
    return p


def _whitening(x: Points, y: IdArray, k: int) -> Points:
    """(r, r) to coordinates in which the clusters are as round as they get."""
    means = np.stack([x[y == c].mean(axis=0) for c in range(k)])
    e = x - means[y]
    S = e.T @ e / len(e)
    if not S.any():  # each cluster is one point
        return np.eye(len(S))
    values, axes = eigh(S + SHRINKAGE * np.trace(S) / len(S) * np.eye(len(S)))
    return axes / np.sqrt(values)


@dataclass(frozen=True, eq=False)
class _Cells:
    """A cluster in pieces: their centres, and the samples of both halves in each."""

    centres: list[Points]
    say: list[Points]
    count: list[Points]

    @classmethod
    def of(cls, x: Points, y: IdArray, c: int, say: IdArray, count: IdArray, seed: int) -> "_Cells":
        mine, theirs = x[say[y[say] == c]], x[count[y[count] == c]]
        number = next(cells for least, cells in CELLS if len(mine) >= least)
        of_mine = kmeans(mine.astype(np.float32), number, seed)
        centres = np.stack([mine[of_mine == j].mean(axis=0) for j in np.unique(of_mine)])
        nearest = [_nearest(points, centres) for points in (mine, theirs)]
        parts = [
            [points[of == j] for j in range(len(centres))]
            for points, of in zip((mine, theirs), nearest, strict=True)
        ]
        return cls(list(centres), *parts)


def _nearest(x: Points, centres: Points) -> IdArray:
    nearest: IdArray = ((centres**2).sum(axis=1) - 2 * x @ centres.T).argmin(axis=1)
    return nearest


def _between_two(one: _Cells, other: _Cells) -> float:
    """The p-value on the line between the two cells that are joined most closely."""
    lines = []
    for start, mine, its in zip(one.centres, one.say, one.count, strict=True):
        for end, theirs, others in zip(other.centres, other.say, other.count, strict=True):
            along = (end - start) / ((end - start) @ (end - start))
            say = (np.concatenate([mine, theirs]) - start) @ along
            if len(say) >= LEAST:
                near_middle = (np.abs(say - 0.5) < 2 * WINDOW).sum()
                count = (np.concatenate([its, others]) - start) @ along
                lines.append((near_middle / np.sqrt(len(say)), say, count))
    if not lines:
        return 1.0
    _, say, count = max(lines, key=lambda line: line[0])
    return _valley_on(say, count)


def _valley_on(say: Points, count: Points) -> float:
    """The p-value of a valley at the place that one half says, by the samples of the other."""
    density = _in_windows(say, PLACES)
    valley = min(PLACES[BETWEEN], key=lambda place: (density[place == PLACES][0], abs(place - 0.5)))
    peaks = [
        PLACES[side][density[side].argmax()]
        for side in (valley - 2 * WINDOW >= PLACES, valley + 2 * WINDOW <= PLACES)
    ]
    left, low, right = _in_windows(count, np.array([peaks[0], valley, peaks[1]]))
    return float(max(binom.cdf(low, low + high, 0.5) for high in (left, right)))


def _in_windows(samples: Points, places: Points) -> IdArray:
    """How many samples are in the window around each place."""
    inside: IdArray = (np.abs(samples[:, None] - places) < WINDOW).sum(axis=0)
    return inside
