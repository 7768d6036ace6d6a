"""Refine the chosen clusters by mixtures, and give the probability of each sample's cluster."""

import numpy as np
from numpy.typing import NDArray

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.candidate import posterior_of
from collapse_lit.measure.recovery.choice import Choice
from collapse_lit.measure.recovery.mixture import free_describes_better, free_posterior, refines
from collapse_lit.measure.recovery.spaces import Space

SHALLOW, FLAT = 0.8, 1.1  # depths between which a valley gradually vanishes
PER_AXIS = 10  # samples of a cluster per axis needed for its own covariance
LOST = 0.5  # share of the excess over a uniform guess that clusters without a valley lose


def refined(choice: Choice, plain: tuple[Space, FloatArray], seed: int) -> list[FloatArray]:
    """Posteriors (n, k): the final posteriors of all samples first, then the others to average.

    The space's clusterer runs first. If it is a Gaussian mixture, a mixture with free covariances
    continues from it in the space without scaling to unit length. The free mixture is used if it
    describes held-out samples better and keeps the clusters and their valley. Started from k-means,
    it would tend to split by variance.

    Args:
        choice: what was chosen.
        plain: the candidate space without scaling to unit length, and its points (n, r).
        seed: seed of the clusterer.

    Returns:
        The posteriors of the space's clusterer from all samples and from both halves. If the free
        mixture is used, its three posteriors come first.
    """
    best, k = choice.candidate, choice.candidate.k
    everyone = posterior_of(best, best.points, best.ids, seed)
    found = [everyone, *choice.halves.posteriors]
    space, points = plain
    ids = everyone.argmax(axis=1)
    if (
        best.space.clusterer != "gmm"
        or space.unit
        or np.bincount(ids, minlength=k).min() < PER_AXIS * points.shape[1]
        or not free_describes_better(points, ids, k)
    ):
        return found
    free = free_posterior(points, ids, k, points).numpy()
    if not refines(points, ids, free.argmax(axis=1), k):
        return found

    def of_half(posterior: FloatArray, rows: IdArray) -> FloatArray:
        rows = np.sort(rows)
        return free_posterior(points[rows], posterior.argmax(axis=1)[rows], k, points).numpy()

    halves = zip(choice.halves.posteriors, choice.halves.rows, strict=True)
    return [free, *(of_half(posterior, rows) for posterior, rows in halves), *found]


def tempered(posterior: FloatArray, depth: NDArray[np.float64], stability: float) -> FloatArray:
    """Mean posteriors (n, k), shrunk to a uniform guess if clusters may be parts of a continuum.

    Averaging already covers halves and spaces that disagree. A cut on which they all agree, but
    without a valley, says little about classes. So half of its excess over a uniform guess is
    removed. ``docs/recovery.md`` shows the calibration on features with known labels.

    Args:
        posterior: (n, k).
        depth: (n,) density at the valley of each sample's cluster, relative to the lower peak.
        stability: agreement of the halves, in [0, 1].
    """
    missing = np.clip((depth - SHALLOW) / (FLAT - SHALLOW), 0, 1)
    kept = (1 - LOST * stability * missing)[:, None]
    even = 1 / posterior.shape[1]
    return np.asarray(even + kept * (posterior - even), dtype=posterior.dtype)
