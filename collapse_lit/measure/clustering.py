"""k-means on the points of one coarse class, and the separation of its clusters."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from collapse_lit.measure.neighbours import FlatIndex, load_faiss

FloatArray = NDArray[np.float32]
IdArray = NDArray[np.int64]

ITERATIONS = 20  # largest number
SETTLED = 1e-6  # relative change of the objective that stops k-means; most variance is noise
FIRST_ITERATIONS = 4  # of each restart; only the best restart continues
POINTS_AT_FIRST = 1000  # points per cluster in the first iterations
SMALLEST_SHARE = 0.02  # of an equal share; smaller clusters are outliers, not classes


def kmeans(
    points: FloatArray,
    k: int,
    seed: int,
    *,
    restarts: int = 1,
    device: torch.device | None = None,
) -> IdArray:
    """Faiss k-means on all points, in one thread.

    All restarts run their first iterations on a subsample; the best one continues on all points.

    Args:
        points: (n, r) float32, n ≥ k.
        k: number of clusters.
        seed: seed of the random starts.
        restarts: number of random starts; the best one is kept.
        device: a CUDA device, used if Faiss has GPU support and the work is large enough
            (:class:`~collapse_lit.measure.neighbours.FlatIndex`); otherwise the CPU.

    Returns:
        (n,) int64 cluster ids.

    Raises:
        ImportError: Faiss is not installed; the message names the extras.
    """
    lloyd = Lloyd(points, k, device)
    if restarts == 1:
        return lloyd.from_seed(seed).ids
    first = Lloyd(points[:: max(len(points) // (POINTS_AT_FIRST * k), 1)], k, device)
    begun = [first.from_seed(seed + restart, FIRST_ITERATIONS) for restart in range(restarts)]
    best = min(begun, key=_rounded_objective)
    return lloyd.from_means(cluster_means(first.points, best.ids, k)).ids


@dataclass(frozen=True)
class Optimum:
    """The result of k-means: cluster ids (n,) and the sum of squared distances to the means."""

    ids: IdArray
    objective: float


class Lloyd:
    """Faiss's k-means (Lloyd's iterations) on all points (n, r), from given starts."""

    def __init__(
        self,
        points: FloatArray,
        k: int,
        device: torch.device | None = None,
    ) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float32)
        self.k = k
        self.index = FlatIndex(self.points.shape[1], self.points.size * k * ITERATIONS, device)

    def from_seed(self, seed: int, iterations: int = ITERATIONS) -> Optimum:
        """Start from k random points."""
        return self._run(seed, None, iterations)

    def from_ids(self, ids: IdArray) -> Optimum:
        """Start from given clusters (n,) of the points."""
        return self.from_means(cluster_means(self.points, ids, self.k))

    def from_means(self, means: FloatArray) -> Optimum:
        """Start from given means (k, r)."""
        return self._run(0, means, ITERATIONS)

    def _run(self, seed: int, centroids: FloatArray | None, iterations: int) -> Optimum:
        faiss = load_faiss()
        clustering = faiss.Clustering(self.points.shape[1], self.k)
        clustering.niter = iterations
        clustering.seed = seed % 2**31
        # Faiss would use only 256 k points, and warn below 39 k
        clustering.max_points_per_centroid = len(self.points)
        clustering.min_points_per_centroid = 1
        clustering.check_input_data_for_NaNs = False  # callers have checked
        if hasattr(clustering, "init_method"):  # newer Faiss
            clustering.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
            clustering.early_stop_threshold = SETTLED
        if centroids is not None:
            faiss.copy_array_to_vector(centroids.ravel(), clustering.centroids)
        with self.index.alone() as index:
            index.reset()
            clustering.train(self.points, index)
            squared, ids = index.search(self.points, 1)
        return Optimum(ids[:, 0], float(squared.sum(dtype=np.float64)))


def _rounded_objective(optimum: Optimum) -> float:
    """The objective rounded to five digits, so that the first of several equal results is kept."""
    return float(f"{optimum.objective:.4e}")


def whitened(points: FloatArray) -> FloatArray:
    """Centre and whiten points (n, r) with the smallest possible rotation.

    A subset of whitened points is not white, and ``separation`` would mistake directions of high
    variance for clusters.
    """
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    variances, axes = eigh(centred.T @ centred / len(points))
    scales = np.sqrt(np.maximum(variances, 1e-6 * max(variances[-1], 1e-12)))
    return np.ascontiguousarray(centred @ ((axes / scales) @ axes.T), dtype=np.float32)


def separation(points: FloatArray, ids: IdArray, k: int, *, equal: bool = True) -> float:
    """How much better k clusters describe whitened points than one Gaussian.

    The gain in classification likelihood per sample of k Gaussians with a common covariance and
    equal shares over a single Gaussian: ½ Σ −log(1 − λ) − log k. Here λ is the between-cluster
    share of the variance along each discriminant axis. The BIC penalty of the additional means is
    subtracted (integrated completed likelihood: Biernacki, Celeux, Govaert, IEEE TPAMI 22, 2000).
    Shares are equal (Celeux, Govaert, Computational Statistics & Data Analysis 14, 1992), because
    the entropy of the actual sizes would favour clusters of a few outliers.

    Args:
        points: (n, r) whitened: centred, unit covariance.
        ids: (n,) cluster ids.
        k: number of clusters.
        equal: whether to assume equal shares. False uses the actual shares, for clusters that are
            not a few outliers.

    Returns:
        Nats per sample: 0 for k = 1, about −0.19 for the best split of an unstructured Gaussian in
        two, −inf if a cluster is (nearly) empty.
    """
    if k == 1:
        return 0.0
    n, r = points.shape
    shares = np.bincount(ids, minlength=k) / n
    if shares.min() < (SMALLEST_SHARE / k if equal else 1 / n):
        return -np.inf
    weighted = cluster_means(points, ids, k).astype(np.float64) * np.sqrt(shares)[:, None]
    between = np.linalg.svd(weighted, compute_uv=False)[: k - 1] ** 2  # λ of each axis
    gain = -0.5 * np.log(1 - between.clip(0, 1 - 1e-6)).sum()
    price = (k - 1) * (r + 1) / 2 * np.log(n) / n
    disorder = np.log(k) if equal else -(shares * np.log(shares)).sum()
    return float(gain - disorder - price)


def cluster_means(points: FloatArray, ids: IdArray, k: int) -> FloatArray:
    """(k, r) float32 means; zero for an empty cluster."""
    counts = np.bincount(ids, minlength=k)
    members = np.zeros((k, len(points)), dtype=np.float32)
    members[ids, np.arange(len(points))] = 1
    sums: FloatArray = members @ points
    return sums / np.maximum(counts, 1).astype(np.float32)[:, None]
