"""The clusters that were chosen, refined by mixtures, and the probability of each sample's."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.candidate import posterior_of
from collapse_lit.measure.recovery.choice import Choice
from collapse_lit.measure.recovery.mixture import REFINES, free_describes_better, free_posterior
from collapse_lit.measure.recovery.spaces import Space

SHALLOW, FLAT = 0.8, 1.1  # depths between which a valley is less and less of one
PER_AXIS = 10  # samples of a cluster for each axis, from which on its own covariance is worth it
LOST = 0.5  # share of the excess over an even guess that clusters without a valley lose


def refined(choice: Choice, plain: tuple[Space, FloatArray], seed: int) -> list[FloatArray]:
    """Posteriors (n, k): the final ones of all samples first, then all others that speak for them.

    The space's clusterer comes first. Where that is a Gaussian mixture, a mixture with free
    covariances goes on from it in the space that scales no sample, if it describes held-out samples
    better and keeps the clusters. Started from k-means it is drawn to splits by spread instead.

    Args:
        choice: what was chosen.
        plain: the space on offer that scales no sample, and the points (n, r) in it.
        seed: of the clusterer.

    Returns:
        By the space's clusterer of all samples and of either half; before these, the same three by
        the free mixture where it is used.
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
    if adjusted_rand_score(ids, free.argmax(axis=1)) < REFINES:
        return found

    def of_half(posterior: FloatArray, rows: IdArray) -> FloatArray:
        rows = np.sort(rows)
        return free_posterior(points[rows], posterior.argmax(axis=1)[rows], k, points).numpy()

    halves = zip(choice.halves.posteriors, choice.halves.rows, strict=True)
    return [free, *(of_half(posterior, rows) for posterior, rows in halves), *found]


def tempered(posterior: FloatArray, depth: NDArray[np.float64], stability: float) -> FloatArray:
    """Mean posteriors (n, k), drawn to an even guess where clusters may be pieces of one shape.

    Halves and spaces that disagree have averaged out already. A cut that all of them make, and that
    no valley bears out, says little about any class. So half of its excess over an even guess is
    taken off; ``docs/recovery.md`` shows what is right on features with known labels.

    Args:
        posterior: (n, k).
        depth: (n,) density at the valley of each sample's cluster, in units of the lower peak.
        stability: agreement of the halves, in [0, 1].
    """
    missing = np.clip((depth - SHALLOW) / (FLAT - SHALLOW), 0, 1)
    kept = (1 - LOST * stability * missing)[:, None]
    even = 1 / posterior.shape[1]
    return np.asarray(even + kept * (posterior - even), dtype=posterior.dtype)
