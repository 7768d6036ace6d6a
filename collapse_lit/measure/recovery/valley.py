"""Test whether a valley of density lies between clusters, or whether they are parts of a continuum.

A curve, a gradient of light or a Gaussian can be cut into stable clusters that look well separated,
but without a valley. A part of the samples is clustered and shows where to look. Another,
independent part counts, and so on in turn:

- H₀: along the line that separates two clusters best, the density at the valley is at least
  ``DEPTH`` times the density at the lower of two peaks.
- p: a binomial test for so few samples at the valley, given the number at the valley and at the
  peak, in windows of equal width. It uses the counts of all parts, and the larger p-value of the
  two peaks.

A curved shape also has such a valley, because a straight line leaves the shape. A second test
therefore uses only samples that lie near the boundary according to all other directions. On a
curve, they lie at the valley itself. For two clusters, they lie on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import betainc

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.trees import Trees

VALLEY = 0.01  # valleys need a smaller p-value
DEPTH = 0.9  # of the lower peak: a shallower dip is never a valley
LEAST = 4  # smallest number of samples of a cluster among the clustered samples
MOST = 10_000  # largest number of samples used per part
SHRINKAGE = 0.1  # of the within-cluster covariance to a multiple of the identity
WINDOW = 0.125  # half width of a window; the line goes from one mean (0) to the other (1)
PLACES = np.linspace(-0.5, 1.5, 41)
BETWEEN = (PLACES >= 0.2) & (PLACES <= 0.8)

NEAR = 0.5  # share of the samples in the second test
TELLS = 0.05  # smallest R² for predicting the distance to the boundary from other directions
FAR = 0.75  # larger distances from the boundary count as equal
LEARNT = 1500  # largest number of samples of a regression
VOID = 0.05  # relative density of a valley that needs no second test

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Valleys:
    """The valley around each of k clusters, towards the cluster with the weakest valley.

    Attributes:
        p: (k,) p-values.
        depth: (k,) density at the valley, relative to the lower of two peaks; 1 or more: no valley.
    """

    p: Points
    depth: Points


def valleys(
    points: FloatArray,
    parts: Sequence[IdArray],
    ids: Sequence[IdArray],
    k: int,
    seed: int,
    *,
    twice: bool = True,
) -> Valleys:
    """Test whether a valley of density lies between each cluster and the others.

    Args:
        points: (n, r) points of one coarse class, in a space that was not chosen to show clusters.
        parts: two or more disjoint sets of rows, each in random order.
        ids: for each part, clusters (n,) of all samples in 0..k-1, found without that part, with
            the same numbering. Clusters found in all samples would make p-values too small.
        k: number of clusters.
        seed: seed of the regression.
        twice: whether to run the second test, on the samples near the boundary.

    Returns:
        The largest p-value and depth over the pairs of each cluster. They are 1 for k = 1, if all
        samples are equal, or if there are too few samples in a cluster or between two clusters.
    """
    if k == 1 or not np.ptp(points, axis=0).any():
        return Valleys(np.ones(k), np.ones(k))
    x = points.astype(np.float64)
    sides = [
        (say[:MOST], count[:MOST], y)
        for say, count, y in zip(_others(parts), parts, ids, strict=True)
        if np.bincount(y[say], minlength=k).min() >= LEAST
    ]
    white = [x @ _whitening(x[say], y[say], k) for say, _, y in sides]
    p, depth = np.zeros((k, k)), np.zeros((k, k))
    for a in range(k):
        for b in range(a):
            lines = [
                _Line.between(z, y, a, b, say, count)
                for z, (say, count, y) in zip(white, sides, strict=True)
            ]
            p[a, b], depth[a, b] = p[b, a], depth[b, a] = _valley_between(lines, seed, twice)
    return Valleys(p.max(axis=1), depth.max(axis=1))


def depth_between(points: FloatArray, ids: IdArray, k: int) -> float:
    """Density at the shallowest valley between clusters (n,), in units of the lower peak.

    The clusters were found in all points (n, r), so this is no test: it compares clusterings.
    """
    rows = np.arange(len(points))
    return float(
        valleys(points, (rows[::2], rows[1::2]), (ids, ids), k, 0, twice=False).depth.max()
    )


def _others(parts: Sequence[IdArray]) -> list[IdArray]:
    """For each part, the rows of all others."""
    return [
        np.concatenate([part for other, part in enumerate(parts) if other != this])
        for this in range(len(parts))
    ]


def _whitening(x: Points, y: IdArray, k: int) -> Points:
    """(r, r) map to coordinates with round clusters, without rotation."""
    means = np.stack([x[y == c].mean(axis=0) for c in range(k)])
    e = x - means[y]
    S = e.T @ e / len(e)
    if not S.any():  # every cluster is a single point
        return np.eye(len(S))
    values, axes = eigh(S + SHRINKAGE * np.trace(S) / len(S) * np.eye(len(S)))
    whitening: Points = (axes / np.sqrt(values)) @ axes.T
    return whitening


@dataclass(frozen=True, eq=False)
class _Side:
    """Samples of two clusters in one part, with positions (m,) along the line between them."""

    places: Points
    points: Points  # (m, r)
    unit: Points  # (r,) the line's direction

    @property
    def rest(self) -> Points:
        """(m, r) the points without their component along the line."""
        rest: Points = self.points - np.outer(self.points @ self.unit, self.unit)
        return rest

    def __getitem__(self, some: NDArray[np.bool_]) -> "_Side":
        return _Side(self.places[some], self.points[some], self.unit)


@dataclass(frozen=True, eq=False)
class _Line:
    """The line between two cluster means: one part shows where to look, another part counts."""

    say: _Side
    count: _Side

    @classmethod
    def between(
        cls, z: Points, y: IdArray, a: int, b: int, say: IdArray, count: IdArray
    ) -> "_Line":
        ours = [rows[(y[rows] == a) | (y[rows] == b)] for rows in (say, count)]
        start, end = (z[ours[0]][y[ours[0]] == c].mean(axis=0) for c in (a, b))
        length = max(float(np.linalg.norm(end - start)), 1e-6)
        unit = (end - start) / length
        return cls(*(_Side((z[rows] - start) @ unit / length, z[rows], unit) for rows in ours))

    def counted(self) -> Points:
        """(3,) counts of the part that counts at the left peak, the valley and the right peak."""
        valley, peaks = _valley_and_peaks(self.say.places)
        return _in_windows(self.count.places, np.array([peaks[0], valley, peaks[1]])).astype(
            np.float64
        )

    def near_boundary(self, seed: int) -> "_Line":
        """The samples of both parts near the boundary, as predicted from the other directions."""
        valley, _ = _valley_and_peaks(self.say.places)
        kept_say = np.ones(len(self.say.places), dtype=bool)
        kept_count = np.ones(len(self.count.places), dtype=bool)
        tells = False
        for sign in (-1, 1):
            say = (self.say.places - valley) * sign > 0
            count = (self.count.places - valley) * sign > 0
            if min(say.sum(), count.sum()) < 2 * LEAST:
                continue
            trees = _distances_told(self.say[say], valley, seed)
            tells |= trees.r2 > TELLS
            told, others = (trees.predict(s.rest) for s in (self.say[say], self.count[count]))
            near = np.quantile(told, NEAR)
            kept_say[say], kept_count[count] = told <= near, others <= near
        return _Line(self.say[kept_say], self.count[kept_count]) if tells else self


def _distances_told(side: _Side, valley: float, seed: int) -> Trees:
    """A regression of the distance to the valley on the components off the line."""
    distance = np.minimum(np.abs(side.places - valley), FAR)
    return Trees.fitted(side.rest[:LEARNT], distance[:LEARNT], seed)


def _valley_and_peaks(say: Points) -> tuple[float, list[float]]:
    density = _in_windows(say, PLACES)
    valley = min(PLACES[BETWEEN], key=lambda place: (density[place == PLACES][0], abs(place - 0.5)))
    sides = (valley - 2 * WINDOW >= PLACES, valley + 2 * WINDOW <= PLACES)
    return float(valley), [float(PLACES[side][density[side].argmax()]) for side in sides]


def _in_windows(samples: Points, places: Points) -> IdArray:
    """The number of samples in the window around each place."""
    inside: IdArray = (np.abs(samples[:, None] - places) < WINDOW).sum(axis=0)
    return inside


def _valley_between(lines: Sequence[_Line], seed: int, twice: bool) -> tuple[float, float]:
    """p-value and depth of the valley between two clusters, from the counts of all parts."""
    if not lines:
        return 1.0, 1.0
    first = _judged(np.sum([line.counted() for line in lines], axis=0))
    if not twice or first[0] > VALLEY or first[1] <= VOID:
        return first
    again = _judged(np.sum([line.near_boundary(seed).counted() for line in lines], axis=0))
    return max(first[0], again[0]), max(first[1], again[1])


def _judged(counts: Points) -> tuple[float, float]:
    left, valley, right = counts
    return p_of_counts(left, valley, right), valley / max(min(left, right), 1.0)


def p_of_counts(left: float, valley: float, right: float) -> float:
    """P(at most this count at the valley) if its density is ``DEPTH`` times the lower peak."""
    share = DEPTH / (1 + DEPTH)
    return max(
        1.0 if peak == 0 else float(betainc(peak, valley + 1, 1 - share)) for peak in (left, right)
    )
