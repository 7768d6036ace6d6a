"""Search for unequal clusters along one direction, cut where two Gaussians describe it best.

The optimum of k-means has even clusters, and the graph of neighbours shows no small cluster in many
axes. The likelihood with the clusters' own shares has its optimum at unequal clusters. The search
climbs it from many directions. It uses the leading axes first: among all axes of a few hundred
samples, some direction always separates a handful of them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from collapse_lit.measure.clustering import FloatArray, IdArray

Points = NDArray[np.float64]

LEADING_AXES = 8  # axes of the first search
SAMPLES_PER_AXIS = 64  # in the second search, over more axes
LEAST = 8  # smallest number of samples on either side
MOST_POINTS = 5000  # largest number of points in the search for directions
STARTS = 64  # number of neighbourhoods to start from
NEIGHBOURHOOD = 20  # a neighbourhood has one in so many of the samples
FIRST_ITERATIONS, ITERATIONS = 3, 20  # of all starts, and of the best starts
KEPT = 8  # number of best starts


def lopsided_split(points: FloatArray, seed: int) -> IdArray:
    """Two clusters (n,) of any size, cut along one direction of whitened points (n, r).

    The direction between the means of two clusters is that of discriminant analysis, because the
    points are whitened. The cut on this direction is the threshold where two Gaussians with one
    variance and their own shares describe it best. The next direction lies between the new means,
    and so on. This is classification EM (Celeux, Govaert, Computational Statistics & Data Analysis
    14, 1992), with the best threshold at each step.
    """
    n, r = points.shape
    if n < 2 * LEAST:
        return (points[:, 0] > np.median(points[:, 0])).astype(np.int64)
    widths = [min(r, LEADING_AXES), min(r, max(LEADING_AXES, n // SAMPLES_PER_AXIS))]
    x = points[:, : widths[1]].astype(np.float64)
    some = x[:: -(-n // MOST_POINTS)]
    begun = np.zeros((widths[1], 0))
    for width in sorted(set(widths)):
        best = _begun(some[:, :width], seed)
        begun = np.hstack([begun, np.pad(best, ((0, widths[1] - width), (0, 0)))])
    directions, nats = _climbed(some, begun, ITERATIONS)
    _, above = _best_cuts(x @ directions[:, [nats.argmax()]])
    ids: IdArray = above[:, 0].astype(np.int64)
    return ids


def _begun(x: Points, seed: int) -> Points:
    """The best directions (r, s) of points (n, r) after a few iterations.

    Starts are the directions towards neighbourhoods of random samples, and the FOBI axes. These are
    the eigenvectors of the mean of |x|² x xᵀ, which separate even clusters from a Gaussian
    (Cardoso, ICASSP 1989).
    """
    centres = x[np.random.default_rng(seed).permutation(len(x))[:STARTS]]
    squares = np.square(x).sum(axis=1)
    size = max(len(x) // NEIGHBOURHOOD, LEAST)
    near = np.argpartition(squares - 2 * centres @ x.T, size, axis=1)[:, :size]
    _, fobi = eigh((x * squares[:, None]).T @ x / len(x))
    directions, nats = _climbed(x, np.hstack([x[near].mean(axis=1).T, fobi]), FIRST_ITERATIONS)
    return directions[:, np.argsort(-nats, kind="stable")[:KEPT]]


def _climbed(x: Points, directions: Points, iterations: int) -> tuple[Points, Points]:
    """Directions (r, s) after iterations on points (n, r), and the gains (s,) of their cuts."""
    for _ in range(iterations):
        _, above = _best_cuts(x @ directions)
        sides = above.astype(np.float64)
        count = sides.sum(axis=0).clip(1, len(x) - 1)  # none where all places are equal
        directions = x.T @ sides / count - x.T @ (1 - sides) / (len(x) - count)
    return directions, _best_cuts(x @ directions)[0]


def _best_cuts(places: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Gain (s,) of the best cut of each column (n, s), and which samples lie above it (n, s).

    The gain, in nats per sample, is ``clustering.separation`` on one line with actual shares.
    """
    n = len(places)
    left = np.arange(LEAST, n - LEAST + 1)[:, None]  # samples below the cut
    ascending = np.sort(places - places.mean(axis=0), axis=0)
    sums = np.cumsum(ascending, axis=0)[left[:, 0] - 1]
    variance = np.maximum(np.square(ascending).mean(axis=0), 1e-12)
    between = (sums**2 / (left * (n - left) * variance)).clip(0, 1 - 1e-6)
    share = left / n
    nats = share * np.log(share) + (1 - share) * np.log(1 - share) - np.log(1 - between) / 2
    best = nats.argmax(axis=0)
    columns = np.arange(places.shape[1])
    return nats[best, columns], places - places.mean(axis=0) > ascending[left[best, 0] - 1, columns]
