"""Starts for k-means: the clusters that cut the graph of nearest neighbours least.

In a whitened space of 32 directions, the k-means objective has an optimum close to the fine
classes. Random starts miss it, because most directions do not separate. A cut through the graph of
nearest neighbours passes where points are sparse, in any direction.
"""

from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.stats import rankdata

from collapse_lit.measure.clustering import (
    FloatArray,
    IdArray,
    Lloyd,
    cluster_means,
    kmeans,
    separation,
)
from collapse_lit.measure.neighbours import nearest_neighbours

NEIGHBOURS = 10
MOST_POINTS = 20_000  # largest number of points in the graph, whose cost is quadratic
LEADING_AXES = 8  # axes of the second graph: neighbours in all axes are unreliable
LEADING_POINTS = 4_000  # largest number of points in the second graph
RESTARTS = 5  # of k-means, for each start
CLEARLY = 0.03  # another optimum must be better separated than the even one by these nats
TOLERANCE = 1e-4  # relative, of the eigenvalues; enough for starting clusters


class Start(Enum):
    """The kinds of starts of the search.

    * ``EVEN``: clusters of equal size.
    * ``ANY``: clusters of any size, or random ones.
    * ``LOPSIDED``: a cut that searches for a small cluster.
    """

    EVEN = "even"
    ANY = "any"
    LOPSIDED = "lopsided"


@dataclass(frozen=True, eq=False)
class Found:
    """Clusters (n,), their start, and the optimum that was not chosen."""

    ids: IdArray
    start: Start
    other: "Found | None" = None


def search(
    points: FloatArray,
    k: int,
    seed: int,
    device: torch.device | None = None,
    *,
    start: Start | None = None,
) -> Found:
    """The k-means optimum of whitened points that best follows gaps between them.

    k-means runs from several starts, in this order: even clusters (k-means on the ranks of the
    coordinates in the graph, or in a second graph of the leading axes), clusters of any
    size (k-means on the coordinates themselves), and the best of a few random starts. Of two optima
    with nearly equal separation, the earlier start wins.

    Args:
        points: (n, r) float32, centred, unit covariance, leading axes first; n ≥ k.
        k: number of clusters.
        seed: seed of the random starts.
        device: where large searches run, if it is a GPU.
        start: use this start regardless of separation; None to choose.

    Returns:
        The chosen clusters, and the alternative if there was a choice.
    """
    some = np.ascontiguousarray(points[:: -(-len(points) // MOST_POINTS)])
    if len(some) <= 2 * k:  # too few for a graph of neighbours
        return Found(kmeans(points, k, seed, restarts=RESTARTS, device=device), Start.ANY)
    starts = _Starts(points, some, k, seed, device)
    if start is not None:
        return Found(starts.from_even() if start is Start.EVEN else starts.best_of_others(), start)
    even, other = Found(starts.from_even(), Start.EVEN), Found(starts.best_of_others(), Start.ANY)
    better = starts.clearly_better(other.ids, even.ids)
    return replace(other, other=even) if better else replace(even, other=other)


@dataclass(frozen=True)
class _Starts:
    """The optima of k-means from several starts; each method returns clusters (n,).

    Attributes:
        points: (n, r) whitened.
        some: (m, r) the points in the graph.
        k: number of clusters.
        seed: seed of the random starts.
        device: where large searches run, if it is a GPU.
    """

    points: FloatArray
    some: FloatArray
    k: int
    seed: int
    device: torch.device | None

    @cached_property
    def coordinates(self) -> FloatArray:
        """(m, k − 1) coordinates in the graph."""
        return graph_coordinates(self.some, self.k - 1, self.seed, self.device)

    @cached_property
    def lloyd(self) -> Lloyd:
        """k-means on all points."""
        return Lloyd(self.points, self.k, self.device)

    def optimum_from(self, cut: FloatArray, of: FloatArray) -> IdArray:
        """The optimum started from k-means clusters of the coordinates ``cut`` (m, r') of points
        ``of`` (m, r).
        """
        start = kmeans(cut, self.k, self.seed, restarts=RESTARTS)
        return self.lloyd.from_means(cluster_means(of, start, self.k)).ids

    def from_even(self) -> IdArray:
        """The optimum from even clusters of the graph, or of the second graph."""
        ids = self.optimum_from(_ranks(self.coordinates), self.some)
        few = self.some[:: -(-len(self.some) // LEADING_POINTS)]
        if few.shape[1] <= LEADING_AXES or len(few) <= 2 * self.k:
            return ids
        leading = np.ascontiguousarray(few[:, :LEADING_AXES])
        cut = graph_coordinates(leading, self.k - 1, self.seed, self.device)
        other = self.optimum_from(_ranks(cut), few)
        return other if self.clearly_better(other, ids) else ids

    def best_of_others(self) -> IdArray:
        """The optimum from clusters of any size or from random starts, whichever is better
        separated.
        """
        at_random = kmeans(self.points, self.k, self.seed, restarts=RESTARTS, device=self.device)
        # rounded, so that the first of several equal optima is kept
        return max(
            (self.optimum_from(self.coordinates, self.some), at_random),
            key=lambda ids: round(separation(self.points, ids, self.k), 4),
        )

    def clearly_better(self, other: IdArray, first: IdArray) -> bool:
        """Whether ``other`` is clearly better separated than ``first``."""
        separated = separation(self.points, other, self.k)
        return separated > separation(self.points, first, self.k) + CLEARLY


def _ranks(coordinates: FloatArray) -> FloatArray:
    """Each column's ranks divided by n, (n, k − 1), in which equal intervals are equal clusters."""
    return (rankdata(coordinates, axis=0) / len(coordinates)).astype(np.float32)


def graph_coordinates(
    points: FloatArray, dimensions: int, seed: int, device: torch.device | None = None
) -> FloatArray:
    """Coordinates (n, dimensions) float32 of the points (n, r) in their neighbour graph.

    They are the first non-constant eigenvectors of the random walk, the relaxed solution of the
    normalised cut (Shi, Malik, IEEE TPAMI 22, 2000). Weak edges also join all pairs of points; at
    each point, they sum to the mean degree. Without them, the smallest cut isolates a few outliers
    (Zhang, Rohe, NeurIPS 2018).
    """
    n = len(points)
    neighbours = nearest_neighbours(points, min(NEIGHBOURS, n - 1), device)  # (n, m)
    edges = np.ones(neighbours.size, dtype=np.float64)
    ends = (np.repeat(np.arange(n), neighbours.shape[1]), neighbours.ravel())
    directed = csr_matrix((edges, ends), shape=(n, n))
    graph = (directed + directed.T) / 2
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    weak = degrees.mean()
    scales = 1 / np.sqrt(degrees + weak)

    def normalised(x: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = scales * x.ravel()
        joined: NDArray[np.float64] = scales * (graph @ scaled + weak / n * scaled.sum())
        return joined

    values, vectors = eigsh(
        LinearOperator((n, n), matvec=normalised, dtype=np.float64),
        k=dimensions + 1,
        which="LA",
        v0=np.random.default_rng(seed).normal(size=n),
        tol=TOLERANCE,
    )
    falling = np.argsort(-values)[1:]
    return np.ascontiguousarray(vectors[:, falling] * scales[:, None] * n, dtype=np.float32)
