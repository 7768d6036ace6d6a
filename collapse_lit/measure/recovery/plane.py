"""Project the clusters of one coarse class to two dimensions, for the plot and the silhouette."""

import numpy as np
from sklearn.metrics import silhouette_score

from collapse_lit.measure.clustering import FloatArray, IdArray, cluster_means

SILHOUETTE_SAMPLES = 600


def discriminant_plane(points: FloatArray, ids: IdArray, k: int) -> FloatArray:
    """(n, 2) coordinates on the two axes that separate the clusters best; leading coordinates fill
    up.
    """
    means = cluster_means(points, ids, k).astype(np.float64)
    shares = np.bincount(ids, minlength=k) / len(ids)
    _, spread, axes = np.linalg.svd(np.sqrt(shares)[:, None] * means, full_matrices=False)
    basis = list(axes[spread > 1e-6][:2])
    for coordinate in np.eye(points.shape[1])[:3]:
        rest = coordinate - sum((b @ coordinate) * b for b in basis)
        if len(basis) < 2 and np.linalg.norm(rest) > 0.5:
            basis.append(rest / np.linalg.norm(rest))
    plane = np.zeros((len(points), 2), dtype=np.float32)
    for column, axis in enumerate(basis):
        plane[:, column] = points @ (axis * np.sign(axis[np.abs(axis).argmax()])).astype(np.float32)
    return plane


def mean_silhouette(plane: FloatArray, ids: IdArray, seed: int) -> float:
    """Mean silhouette in the plane, over a subset of rows; 0 if the subset has only one cluster."""
    some = np.random.default_rng(seed).permutation(len(ids))[:SILHOUETTE_SAMPLES]
    clusters = len(np.unique(ids[some]))
    if clusters < 2 or clusters == len(some):
        return 0.0
    return float(silhouette_score(plane[some], ids[some]))
