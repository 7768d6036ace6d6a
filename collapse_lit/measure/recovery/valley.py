"""Whether a valley of density lies between clusters, or one shape was cut in pieces.

A curve, a gradient of light or a Gaussian can be cut into clusters that are stable and look well
separated. What it lacks is a valley. A part of the samples is clustered and says where to look;
another part, which had no share in that, counts, and so on in turn:

- H₀: along the line that separates two clusters best, the density at the valley is no lower than
  ``DEPTH`` times that at the lower of two peaks.
- p: of as few samples at the valley, given those at the valley and at that peak, in windows of
  equal width: a binomial test, on the counts of all parts together, the larger of two peaks.

A curved shape has such a valley too, since a straight line leaves it. So what is found is looked at
once more, among the samples that lie near the boundary as far as all other directions tell: on a
curve they lie at the valley itself, of two clusters they lie on either side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import betainc
from sklearn.ensemble import ExtraTreesRegressor

from collapse_lit.measure.clustering import FloatArray, IdArray

VALLEY = 0.01  # p-value from which on there is no valley to speak of
DEPTH = 0.9  # of the lower peak: a dip that is less deep is none, however many samples show it
LEAST = 4  # samples of a cluster in what is clustered
MOST = 10_000  # samples of a part that are looked at
SHRINKAGE = 0.1  # of the covariance within clusters to a multiple of the identity
WINDOW = 0.125  # half the width of a window; the line goes from one mean, 0, to the other, 1
PLACES = np.linspace(-0.5, 1.5, 41)
BETWEEN = (PLACES >= 0.2) & (PLACES <= 0.8)

NEAR = 0.5  # share of the samples that is looked at once more
TELLS = 0.05  # R² from which on the other directions tell how near the boundary a sample is
FAR = 0.75  # distances from it beyond this are alike
TREES, LEAF, LEARNT = 40, 25, 1500  # trees, samples in a leaf and in all, of each regression
VOID = 0.05  # density, in units of the lower peak, that needs no second look

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Valleys:
    """The valley around each of k clusters, that of the other cluster it is nearest to.

    Attributes:
        p: (k,) p-values.
        depth: (k,) density there, in units of the lower of two peaks; 1 or more: no valley.
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
    """How sure it is that each cluster is cut off from the others by a valley of density.

    Args:
        points: (n, r) of one coarse class, in a space that was not chosen to show clusters.
        parts: two disjoint sets of rows or more, each in random order.
        ids: for each part, clusters (n,) of all samples in 0..k-1 that were found without it; the
            numbers of all mean the same. With clusters that were found in all samples, p-values are
            too small.
        k: number of clusters.
        seed: seed of the regression.
        twice: whether to look a second time, among the samples near the boundary.

    Returns:
        p-values and depths, the largest one of each cluster's pairs; 1 for k = 1, where all samples
        are alike, and where a cluster or the samples between two are too few to tell.
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


def _others(parts: Sequence[IdArray]) -> list[IdArray]:
    """For each part, the rows of all others."""
    return [
        np.concatenate([part for other, part in enumerate(parts) if other != this])
        for this in range(len(parts))
    ]


def _whitening(x: Points, y: IdArray, k: int) -> Points:
    """(r, r) to coordinates in which the clusters are as round as they get, turned no further."""
    means = np.stack([x[y == c].mean(axis=0) for c in range(k)])
    e = x - means[y]
    S = e.T @ e / len(e)
    if not S.any():  # each cluster is one point
        return np.eye(len(S))
    values, axes = eigh(S + SHRINKAGE * np.trace(S) / len(S) * np.eye(len(S)))
    whitening: Points = (axes / np.sqrt(values)) @ axes.T
    return whitening


@dataclass(frozen=True, eq=False)
class _Side:
    """Samples of two clusters in one part: places (m,) along the line between them."""

    places: Points
    points: Points  # (m, r)
    unit: Points  # (r,) the line's direction

    @property
    def rest(self) -> Points:
        """(m, r) the points without what they have of the line's direction."""
        rest: Points = self.points - np.outer(self.points @ self.unit, self.unit)
        return rest

    def __getitem__(self, some: NDArray[np.bool_]) -> "_Side":
        return _Side(self.places[some], self.points[some], self.unit)


@dataclass(frozen=True, eq=False)
class _Line:
    """The line between the means of two clusters: one part says where to look, one counts."""

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
        """(3,) samples of the part that counts at the left peak, the valley and the right peak."""
        valley, peaks = _valley_and_peaks(self.say.places)
        return _in_windows(self.count.places, np.array([peaks[0], valley, peaks[1]])).astype(
            np.float64
        )

    def near_boundary(self, seed: int) -> "_Line":
        """The samples of both parts near the boundary, as far as the rest tells, on each side."""
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
            tells |= trees.oob_score_ > TELLS
            told, others = (trees.predict(s.rest) for s in (self.say[say], self.count[count]))
            near = np.quantile(told, NEAR)
            kept_say[say], kept_count[count] = told <= near, others <= near
        return _Line(self.say[kept_say], self.count[kept_count]) if tells else self


def _distances_told(side: _Side, valley: float, seed: int) -> ExtraTreesRegressor:
    """How far a sample is from the valley, as far as what is off the line tells."""
    distance = np.minimum(np.abs(side.places - valley), FAR)
    trees = ExtraTreesRegressor(
        TREES,
        min_samples_leaf=LEAF,
        max_features=0.5,
        bootstrap=True,
        oob_score=True,
        random_state=seed % 2**32,
    )
    return trees.fit(side.rest[:LEARNT], distance[:LEARNT])


def _valley_and_peaks(say: Points) -> tuple[float, list[float]]:
    density = _in_windows(say, PLACES)
    valley = min(PLACES[BETWEEN], key=lambda place: (density[place == PLACES][0], abs(place - 0.5)))
    sides = (valley - 2 * WINDOW >= PLACES, valley + 2 * WINDOW <= PLACES)
    return float(valley), [float(PLACES[side][density[side].argmax()]) for side in sides]


def _in_windows(samples: Points, places: Points) -> IdArray:
    """How many samples are in the window around each place."""
    inside: IdArray = (np.abs(samples[:, None] - places) < WINDOW).sum(axis=0)
    return inside


def _valley_between(lines: Sequence[_Line], seed: int, twice: bool) -> tuple[float, float]:
    """p-value and depth of the valley between two clusters, by the counts of all parts."""
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
    """P(as few at the valley or fewer) under a valley ``DEPTH`` as dense as the lower peak."""
    share = DEPTH / (1 + DEPTH)
    return max(
        1.0 if peak == 0 else float(betainc(peak, valley + 1, 1 - share)) for peak in (left, right)
    )
