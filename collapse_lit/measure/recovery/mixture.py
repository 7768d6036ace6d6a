"""Gaussian mixtures started from given clusters, with shrunken or free covariances."""

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.valley import SHRINKAGE, depth_between

Model = tuple[Tensor, Tensor, Tensor]  # log shares (k,), means (k, r), covariances (k, r, r)

SHRINKAGES = (0.4, 0.7, 0.9)  # of each component's covariance towards the pooled covariance
CLEAR = 0.3  # density at a valley, in units of the lower peak, below which it must be kept
NEAR = (0.25, 0.75)  # places near a boundary, on the line from one mean, 0, to the other, 1
FAR_MOVED = 0.005  # largest share of the samples that a refinement may move from elsewhere
REFINES = 0.6  # smallest agreement (adjusted Rand index) of a refinement with its start
RIDGE = 1e-4  # on the diagonal of covariances, in units of the points' variance
ITERATIONS = 40  # largest number; a good start needs about ten


def mixture_posterior(points: FloatArray, ids: IdArray, k: int, everywhere: FloatArray) -> Tensor:
    """Refine clusters by a Gaussian mixture whose covariances are shrunk towards their mean.

    A mixture with free covariances (scikit-learn's ``full``) tends to split by variance. A mixture
    with a common covariance (``tied``) misses clusters of different shape. ``docs/recovery.md`` has
    the numbers. Regularised discriminant analysis (Friedman, JASA 84, 1989) lies between the two.
    No library offers it with EM.

    If even this mixture moves far from its start, or out of a valley, to a split by variance, the
    shrinkage increases.

    Args:
        points: (n, r) float32 that the mixture is fitted to.
        ids: (n,) clusters to start from.
        k: number of components.
        everywhere: (m, r) points for the posteriors.

    Returns:
        (m, k) float32 posterior probabilities.
    """
    x = torch.from_numpy(np.ascontiguousarray(points))
    for shrinkage in SHRINKAGES:
        model, found = _fit(x, torch.from_numpy(ids), k, shrinkage)
        if refines(points, ids, found.numpy(), k):
            break
    return _log_joint(torch.from_numpy(np.ascontiguousarray(everywhere)), *model).softmax(dim=1)


def refines(points: FloatArray, before: IdArray, after: IdArray, k: int) -> bool:
    """Whether clusters ``after`` (n,) are those ``before``, refined at their boundaries alone.

    Collapsed features have heavy tails. A mixture often describes them best with a narrow component
    for the core of one class and a wide component for its tail and for all other classes. So if a
    clear valley lies between clusters, only samples near the valley may change their cluster.
    """
    if adjusted_rand_score(before, after) < REFINES:
        return False
    if depth_between(points, before, k) >= CLEAR:
        return True
    return far_moved(points, before, after, k) <= FAR_MOVED


def far_moved(points: FloatArray, before: IdArray, after: IdArray, k: int) -> float:
    """Share of all samples that change their cluster though they lie far from the boundary.

    Args:
        points: (n, r).
        before: (n,) clusters in 0..k-1, none empty.
        after: (n,) clusters with the same numbers.
        k: number of clusters.
    """
    x = points.astype(np.float64)
    means = np.stack([x[before == c].mean(axis=0) for c in range(k)])
    residuals = x - means[before]
    within = residuals.T @ residuals / len(x)
    within += SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    far = 0
    for a in range(k):
        for b in range(k):
            moved = x[(before == a) & (after == b)]
            if a != b and len(moved):
                axis = np.linalg.solve(within, means[b] - means[a])
                place = (moved - means[a]) @ axis / ((means[b] - means[a]) @ axis)
                far += int(((place < NEAR[0]) | (place > NEAR[1])).sum())
    return far / len(x)


def free_posterior(points: FloatArray, ids: IdArray, k: int, everywhere: FloatArray) -> Tensor:
    """(m, k) posteriors of a mixture with free covariances, else as the shrunken mixture."""
    x = torch.from_numpy(np.ascontiguousarray(points))
    model, _ = _fit(x, torch.from_numpy(ids), k, 0.0)
    return _log_joint(torch.from_numpy(np.ascontiguousarray(everywhere)), *model).softmax(dim=1)


def free_describes_better(points: FloatArray, ids: IdArray, k: int) -> bool:
    """Whether free covariances of clusters (n,) describe held-out points better than shrunken ones.

    The clusters of every other point define the model, without iterations. The answer is yes only
    with many samples per axis.
    """
    x, clusters = torch.from_numpy(np.ascontiguousarray(points)), torch.from_numpy(ids)
    posterior = torch.nn.functional.one_hot(clusters[::2], k).float()
    free, shrunken = (
        _log_joint(x[1::2], *_maximise(x[::2], posterior, shrinkage)).logsumexp(dim=1).mean()
        for shrinkage in (0.0, SHRINKAGES[0])
    )
    return bool(free > shrunken)


def _fit(x: Tensor, ids: Tensor, k: int, shrinkage: float) -> tuple[Model, Tensor]:
    """Expectation maximisation from clusters (n,): the model and its clusters (n,)."""
    posterior = torch.nn.functional.one_hot(ids, k).float()  # (n, k)
    for _ in range(ITERATIONS):
        model = _maximise(x, posterior, shrinkage)
        updated = _log_joint(x, *model).softmax(dim=1)
        moved = (updated - posterior).abs().mean()
        posterior = updated
        if moved < 1e-3 / k:
            break
    return model, posterior.argmax(dim=1)


def _maximise(x: Tensor, posterior: Tensor, shrinkage: float) -> Model:
    """M step: log shares (k,), means (k, r) and shrunken covariances (k, r, r)."""
    mass = posterior.sum(dim=0) + 1e-6  # (k,)
    means = posterior.T @ x / mass[:, None]
    covariances = torch.stack(
        [
            (x - mean).T @ ((x - mean) * weight[:, None]) / weight.sum().clamp(min=1e-6)
            for mean, weight in zip(means, posterior.T, strict=True)
        ]
    )
    shares = mass / mass.sum()
    pooled = (shares[:, None, None] * covariances).sum(dim=0)
    shrunken = (1 - shrinkage) * covariances + shrinkage * pooled
    return shares.log(), means, shrunken + RIDGE * torch.eye(x.shape[1])


def _log_joint(x: Tensor, log_shares: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """(n, k) log density of each point with each component, up to one constant."""
    factors = torch.linalg.cholesky(covariances)  # (k, r, r)
    whiteners = torch.linalg.inv(factors)
    return torch.stack(
        [
            share - ((x - mean) @ w.T).square().sum(dim=1) / 2 - f.diagonal().log().sum()
            for share, mean, w, f in zip(log_shares, means, whiteners, factors, strict=True)
        ],
        dim=1,
    )
