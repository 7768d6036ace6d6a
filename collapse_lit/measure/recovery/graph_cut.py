"""Where k-means starts: the clusters that cut the graph of nearest neighbours least.

In a whitened space of 32 directions the k-means objective has an optimum close to the fine classes,
but random starts do not reach it: the direction that separates is lost among those that do not. A
cut through the graph of nearest neighbours passes where points are sparse, whichever way that is.
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
MOST_POINTS = 20_000  # of a class that the graph is made of: its cost grows with their square
SMALL_CLASS = 4_000  # samples, up to which neighbours in all axes are not to be relied upon
LEADING_AXES = 8  # of the second graph that such a class gets
RESTARTS = 5  # of k-means, for each of the starts
CLEARLY = 0.03  # nats by which another optimum has to be better separated than the even one
TOLERANCE = 1e-4  # relative, of the eigenvalues: to start from, clusters need be no better


class Start(Enum):
    """What the search goes on from.

    * ``EVEN``: clusters of equal size.
    * ``ANY``: clusters of any size, or random ones.
    * ``LOPSIDED``: a cut where a small cluster is looked for.
    """

    EVEN = "even"
    ANY = "any"
    LOPSIDED = "lopsided"


@dataclass(frozen=True, eq=False)
class Found:
    """Clusters (n,), where they were started from, and the optimum that was not taken."""

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
    """The k-means optimum of whitened points that lies closest to how they fall apart.

    k-means goes on from several starts: even clusters (k-means on the ranks of the coordinates in
    the graph), in a small class those in the graph of the leading axes as well, clusters of any
    size (on the coordinates themselves), and the best of a few at random. Where two optima are
    separated nearly alike, the one from the start named first is taken.

    Args:
        points: (n, r) float32, centred, unit covariance, leading axes first; n ≥ k.
        k: number of clusters.
        seed: seed of the random starts.
        device: where Faiss works.
        start: take the optimum from this one, whatever its separation; None to choose.

    Returns:
        The clusters, and those that were not taken where there was a choice.
    """
    some = np.ascontiguousarray(points[:: -(-len(points) // MOST_POINTS)])
    if len(some) <= 2 * k:  # too few to have neighbours
        return Found(kmeans(points, k, seed, restarts=RESTARTS, device=device), Start.ANY)
    starts = _Starts(points, some, k, seed, device)
    if start is not None:
        return Found(starts.from_even() if start is Start.EVEN else starts.best_of_others(), start)
    even, other = Found(starts.from_even(), Start.EVEN), Found(starts.best_of_others(), Start.ANY)
    better = starts.clearly_better(other.ids, even.ids)
    return replace(other, other=even) if better else replace(even, other=other)


@dataclass(frozen=True)
class _Starts:
    """The optima that k-means reaches from several starts; each method gives clusters (n,).

    Attributes:
        points: (n, r) whitened.
        some: (m, r) those of them that the graph is made of.
        k: number of clusters.
        seed: seed of the random starts.
        device: where Faiss works.
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

    def optimum_from(self, cut: FloatArray) -> IdArray:
        """From the k-means clusters of other coordinates (m, r')."""
        start = kmeans(cut, self.k, self.seed, restarts=RESTARTS)
        return self.lloyd.from_means(cluster_means(self.some, start, self.k)).ids

    def from_even(self) -> IdArray:
        """From even clusters of the graph; in a small class, or of that of its leading axes."""
        ids = self.optimum_from(_ranks(self.coordinates))
        if len(self.points) > SMALL_CLASS or self.points.shape[1] <= LEADING_AXES:
            return ids
        leading = np.ascontiguousarray(self.points[:, :LEADING_AXES])
        cut = graph_coordinates(leading, self.k - 1, self.seed, self.device)
        other = self.optimum_from(_ranks(cut))
        return other if self.clearly_better(other, ids) else ids

    def best_of_others(self) -> IdArray:
        """From clusters of any size, or at random: whichever is better separated."""
        at_random = kmeans(self.points, self.k, self.seed, restarts=RESTARTS, device=self.device)
        # rounded: of optima that are alike the first counts, whatever the last digits say
        return max(
            (self.optimum_from(self.coordinates), at_random),
            key=lambda ids: round(separation(self.points, ids, self.k), 4),
        )

    def clearly_better(self, other: IdArray, first: IdArray) -> bool:
        """Whether ``other`` is better separated than ``first`` by more than a chance difference."""
        separated = separation(self.points, other, self.k)
        return separated > separation(self.points, first, self.k) + CLEARLY


def _ranks(coordinates: FloatArray) -> FloatArray:
    """Each column's ranks over n, (n, k − 1): even clusters are those of even intervals."""
    return (rankdata(coordinates, axis=0) / len(coordinates)).astype(np.float32)


def graph_coordinates(
    points: FloatArray, dimensions: int, seed: int, device: torch.device | None = None
) -> FloatArray:
    """Coordinates (n, dimensions) float32 of the points (n, r) in the graph of their neighbours.

    The first eigenvectors of the random walk, without the constant one: the relaxed solution of the
    normalised cut (Shi, Malik, IEEE TPAMI 22, 2000). Each pair of points is also joined by a weak
    edge, of the mean degree in all at each point: without, the least cut is that of a few outliers
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
