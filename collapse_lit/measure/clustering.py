"""k-means on the points of one coarse class, and its climb through ranks.

The climb is what finds the fine classes. In a whitened space of 32 directions the k-means objective
has its best optimum close to the fine classes, but random starts do not reach it: the one direction
that separates is lost among 31 that do not. In a few leading directions they do. So each start is
made there and continued in twice the rank, from its own clusters, up to the full rank; the optimum
with the best ``separation`` is kept. What leads is either variance (the principal axes as they
come) or shape: the axes along which clusters of even size lie apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

FloatArray = NDArray[np.float32]
IdArray = NDArray[np.int64]

Order = Literal["variance", "shape"]
START_RANKS: dict[Order, tuple[int, ...]] = {"variance": (4, 8, 16), "shape": (2, 4)}
STARTS: dict[Order, int] = {"variance": 3, "shape": 2}  # per rank, at least
MOST_STARTS = 30
POINTS_OF_A_START = 10_000  # small classes get this many points' worth of starts per rank
ITERATIONS = 20  # at most
SETTLED = 1e-4  # relative change of the k-means objective that ends it sooner, on a climb
CONVERGED = 1e-6  # the same without a climb: in many dimensions nearly all of it is noise
FIRST_ITERATIONS = 4  # of restarts: all take these, the best goes on
POINTS_AT_FIRST = 1000  # a cluster, for the first iterations of restarts
ALIKE = 0.01  # share of points in which clusters may differ and still count as the same
SMALLEST_SHARE = 0.02  # of an even share: a cluster below it is an outlier, not a class


def kmeans(
    points: FloatArray,
    k: int,
    seed: int,
    *,
    restarts: int = 1,
    device: torch.device | None = None,
) -> IdArray:
    """Faiss k-means on all points, in one thread.

    All restarts take their first iterations on every so-manyth point; the best goes on to the end
    on all points.

    Args:
        points: (n, r) float32, n ≥ k.
        k: number of clusters.
        seed: seed of the random starts.
        restarts: random starts, the best of which is kept.
        device: a CUDA device to work on, where Faiss has GPU support; the CPU otherwise.

    Returns:
        (n,) int64 cluster ids.

    Raises:
        ImportError: Faiss is not installed; the message names the extras.
    """
    lloyd = Lloyd(points, k, device, CONVERGED)
    if restarts == 1:
        return lloyd.from_seed(seed).ids
    first = Lloyd(points[:: max(len(points) // (POINTS_AT_FIRST * k), 1)], k, device, CONVERGED)
    begun = [first.from_seed(seed + restart, FIRST_ITERATIONS) for restart in range(restarts)]
    best = min(begun, key=_rounded_objective)
    return lloyd.from_means(cluster_means(first.points, best.ids, k)).ids


def climb(
    points: FloatArray,
    k: int,
    seed: int,
    orders: Sequence[Order] = ("variance", "shape"),
    device: torch.device | None = None,
) -> IdArray:
    """The best-separated k-means optimum of whitened points (n, r); (n,) cluster ids.

    Few points get more starts: they cost little, and there chance has more to say. Climbs that meet
    go on as one.
    """
    candidates: list[IdArray] = []
    for order in orders:
        turned = _by_shape(points) if order == "shape" else points
        full = turned.shape[1]
        starts = max(STARTS[order], min(MOST_STARTS, POINTS_OF_A_START // len(points)))
        first_ranks = {min(rank, full) for rank in START_RANKS[order]}
        climbers: list[Optimum] = []
        rank = min(first_ranks)
        while True:
            lloyd = Lloyd(turned[:, :rank], k, device)
            climbers = [lloyd.from_ids(climber.ids) for climber in climbers]
            if rank in first_ranks:
                climbers += [lloyd.from_seed(seed + start) for start in range(starts)]
            climbers = _distinct(climbers, k)
            if rank == full:
                break
            rank = min(2 * rank, full)
        candidates += [climber.ids for climber in climbers]
    # rounded: of starts that end alike the first counts, whatever the last digits say
    return max(candidates, key=lambda ids: round(separation(points, ids, k), 4))


@dataclass(frozen=True)
class Optimum:
    """Where k-means ended: cluster ids (n,) and the sum of squared distances to the means."""

    ids: IdArray
    objective: float


class Lloyd:
    """Faiss's k-means (Lloyd's iterations) on all of the points (n, r), from given starts."""

    def __init__(
        self,
        points: FloatArray,
        k: int,
        device: torch.device | None = None,
        settled: float = SETTLED,
    ) -> None:
        self.faiss = load_faiss()
        self.points = np.ascontiguousarray(points, dtype=np.float32)
        self.k, self.settled = k, settled
        self.index = _flat_index(self.faiss, self.points.shape[1], device)

    def from_seed(self, seed: int, iterations: int = ITERATIONS) -> Optimum:
        """Start from k of the points, drawn by the seed."""
        return self._run(seed, None, iterations)

    def from_ids(self, ids: IdArray) -> Optimum:
        """Start from given clusters (n,) of the points."""
        return self.from_means(cluster_means(self.points, ids, self.k))

    def from_means(self, means: FloatArray) -> Optimum:
        """Start from given means (k, r)."""
        return self._run(0, means, ITERATIONS)

    def _run(self, seed: int, centroids: FloatArray | None, iterations: int) -> Optimum:
        faiss = self.faiss
        clustering = faiss.Clustering(self.points.shape[1], self.k)
        clustering.niter = iterations
        clustering.seed = seed % 2**31
        # Faiss would look at 256 k points only, and warn below 39 k
        clustering.max_points_per_centroid = len(self.points)
        clustering.min_points_per_centroid = 1
        clustering.check_input_data_for_NaNs = False  # whoever calls has looked
        if hasattr(clustering, "init_method"):  # newer Faiss
            clustering.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
            clustering.early_stop_threshold = self.settled
        if centroids is not None:
            faiss.copy_array_to_vector(centroids.ravel(), clustering.centroids)
        # Threads that wait for one another made this twenty times slower on a busy machine
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self.index.reset()
            clustering.train(self.points, self.index)
            squared, ids = self.index.search(self.points, 1)
        finally:
            faiss.omp_set_num_threads(threads)
        return Optimum(ids[:, 0], float(squared.sum(dtype=np.float64)))


def _rounded_objective(optimum: Optimum) -> float:
    """The objective to five digits, so that of starts that end alike the first counts."""
    return float(f"{optimum.objective:.4e}")


def _distinct(optima: Sequence[Optimum], k: int) -> list[Optimum]:
    """The optima without those whose clusters are, but for ``ALIKE``, an earlier one's."""
    kept: list[Optimum] = []
    for optimum in optima:
        if not any(_same_clusters(optimum.ids, other.ids, k) for other in kept):
            kept.append(optimum)
    return kept


def _same_clusters(ids: IdArray, others: IdArray, k: int) -> bool:
    together = np.bincount(ids * k + others, minlength=k * k).reshape(k, k)
    return bool(together.max(axis=1).sum() >= (1 - ALIKE) * len(ids))


def whitened(points: FloatArray) -> FloatArray:
    """Points (n, r) centred and of unit covariance, turned as little as that allows.

    A part of whitened points is not white itself, and ``separation`` would take the directions that
    are too long by chance for clusters.
    """
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    variances, axes = eigh(centred.T @ centred / len(points))
    scales = np.sqrt(np.maximum(variances, 1e-6 * max(variances[-1], 1e-12)))
    return np.ascontiguousarray(centred @ ((axes / scales) @ axes.T), dtype=np.float32)


def _by_shape(points: FloatArray) -> FloatArray:
    """Whitened points (n, r) turned so that axes that hold clusters of even size come first.

    Two such clusters give an axis light tails: its share of a point's squared length is more even
    than elsewhere. That is a large eigenvalue of the spatial sign covariance (Visuri, Koivunen,
    Oja, J. Stat. Plan. Inference 91, 2000); a pair of scatters, here this and the covariance, shows
    clusters without labels (Tyler, Critchley, Dümbgen, Oja, JRSS B 71, 2009).
    """
    squared = np.square(points).sum(axis=1, keepdims=True)
    directions = points / np.sqrt(np.maximum(squared, 1e-12))
    _, axes = eigh((directions.T @ directions).astype(np.float64))
    axes = axes[:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.ascontiguousarray(points @ axes.astype(np.float32))


def separation(points: FloatArray, ids: IdArray, k: int) -> float:
    """How much better k separate clusters describe whitened points than one Gaussian does.

    The gain of the classification likelihood of k Gaussians with one common covariance and equal
    shares over a single Gaussian, per sample: ½ Σ −log(1 − λ) − log k, λ the between-cluster share
    of the variance along each discriminant axis; less the BIC price of the extra means (integrated
    completed likelihood: Biernacki, Celeux, Govaert, IEEE TPAMI 22, 2000). Shares are taken as
    equal (Celeux, Govaert, Computational Statistics & Data Analysis 14, 1992): with the entropy of
    the actual sizes in place of log k, a handful of outliers is the cheapest cluster.

    Args:
        points: (n, r) whitened: centred, unit covariance.
        ids: (n,) cluster ids.
        k: number of clusters.

    Returns:
        Nats per sample. 0 for k = 1; about −0.19 for the best split in two of an unstructured
        Gaussian; −inf with a cluster that is (nearly) empty.
    """
    if k == 1:
        return 0.0
    n, r = points.shape
    shares = np.bincount(ids, minlength=k) / n
    if shares.min() < SMALLEST_SHARE / k:
        return -np.inf
    weighted = cluster_means(points, ids, k).astype(np.float64) * np.sqrt(shares)[:, None]
    between = np.linalg.svd(weighted, compute_uv=False)[: k - 1] ** 2  # λ of each axis
    gain = -0.5 * np.log(1 - between.clip(0, 1 - 1e-6)).sum()
    price = (k - 1) * (r + 1) / 2 * np.log(n) / n
    return float(gain - np.log(k) - price)


def cluster_means(points: FloatArray, ids: IdArray, k: int) -> FloatArray:
    """(k, r) float32 means; an empty cluster's is zero."""
    counts = np.bincount(ids, minlength=k)
    members = np.zeros((k, len(points)), dtype=np.float32)
    members[ids, np.arange(len(points))] = 1
    sums: FloatArray = members @ points
    return sums / np.maximum(counts, 1).astype(np.float32)[:, None]


def _flat_index(faiss: ModuleType, r: int, device: torch.device | None) -> Any:
    """An exact L2 index on this process's own device: ``Kmeans(gpu=True)`` would take them all."""
    if device is None or device.type != "cuda" or not hasattr(faiss, "StandardGpuResources"):
        return faiss.IndexFlatL2(r)
    config = faiss.GpuIndexFlatConfig()
    config.device = torch.cuda.current_device() if device.index is None else device.index
    return faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), r, config)


def load_faiss() -> ModuleType:
    """Faiss, imported when it is first needed: its OpenMP does not like a fork after it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            'recovery needs faiss: pip install "collapse-lit[cpu]", '
            'or "collapse-lit[gpu]" on a machine with an NVIDIA GPU'
        ) from error
    return faiss
