"""Clusterers refine given clusters; each clusterer is one function.

* ``kmeans``: keeps the clusters, with posteriors of equal spherical Gaussians around their means.
* ``gmm``: a Gaussian mixture with covariances between free and common.

:func:`register_clusterer` adds another.
"""

from collections.abc import Callable

import numpy as np
import torch

from collapse_lit.measure.clustering import FloatArray, IdArray, cluster_means
from collapse_lit.measure.recovery.mixture import mixture_posterior
from collapse_lit.measure.recovery.registry import Registry

Clusterer = Callable[[FloatArray, IdArray, int, FloatArray, int], FloatArray]

CLUSTERERS: Registry[Clusterer] = Registry("clusterer", "[a-z][a-z0-9_]*")


def register_clusterer(name: str) -> Callable[[Clusterer], Clusterer]:
    """Decorator that makes a function the clusterer ``name``.

    The function takes ``points`` (n, r) float32 of one coarse class, their clusters ``start`` (n,)
    in 0..k-1, ``k``, ``everywhere`` (m, r) and a ``seed``. It returns the posterior probabilities
    (m, k) of ``everywhere``: one row per sample, one column per cluster. It may ignore ``start``.
    It is called with all samples of a class and with each half, and in threads for several classes
    at a time.

    Args:
        name: Lower-case letters, digits and underscores; ``recover(space="white32/NAME")`` uses it.

    Raises:
        ValueError: The name is taken or has other characters.

    Example:
        >>> from sklearn.cluster import AgglomerativeClustering
        >>> from collapse_lit.measure.recovery.clusterers import nearest_mean, register_clusterer
        >>> @register_clusterer("ward")  # then recover(features, coarse, 2, space="white32/ward")
        ... def ward(points, start, k, everywhere, seed):
        ...     ids = AgglomerativeClustering(k).fit_predict(points)
        ...     return nearest_mean(points, ids, k, everywhere, seed)
    """

    def register(clusterer: Clusterer) -> Clusterer:
        CLUSTERERS.add(name, clusterer)
        return clusterer

    return register


@register_clusterer("kmeans")
def nearest_mean(
    points: FloatArray, start: IdArray, k: int, everywhere: FloatArray, seed: int
) -> FloatArray:
    """(m, k) posteriors of equal spherical Gaussians around the means of ``start``."""
    means = cluster_means(points, start, k)
    shares = np.bincount(start, minlength=k) / len(start)
    total = np.einsum("nr,nr->", points, points, dtype=np.float64) / len(points)
    within = (total - shares @ np.square(means).sum(axis=1)) / points.shape[1]
    squared = np.square(means).sum(axis=1) - 2 * everywhere @ means.T  # without the constant ‖x‖²
    logits = torch.from_numpy(-squared / (2 * max(within, 1e-12)))
    return logits.softmax(dim=1).numpy()


@register_clusterer("gmm")
def shrunken_mixture(
    points: FloatArray, start: IdArray, k: int, everywhere: FloatArray, seed: int
) -> FloatArray:
    """(m, k) posteriors of a Gaussian mixture started from ``start``."""
    return mixture_posterior(points, start, k, everywhere).numpy()


def posteriors(
    name: str, points: FloatArray, start: IdArray, k: int, everywhere: FloatArray, seed: int
) -> FloatArray:
    """(m, k) posteriors of ``everywhere`` by the clusterer ``name``.

    Raises:
        ValueError: The clusterer returns anything else.
    """
    found = np.asarray(CLUSTERERS[name](points, start, k, everywhere, seed))
    if found.shape != (len(everywhere), k) or not np.isfinite(found).all():
        raise ValueError(
            f"clusterer {name!r} returned an array of shape {found.shape}; it must return finite "
            f"posteriors of shape {(len(everywhere), k)}"
        )
    return found
