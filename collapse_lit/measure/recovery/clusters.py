"""The result of recovery: the clusters of each coarse class and of all classes together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.clustering import FloatArray
from collapse_lit.measure.recovery.choice import REPRODUCIBLE
from collapse_lit.measure.recovery.spaces import Space
from collapse_lit.measure.recovery.valley import VALLEY

LOPSIDED = 0.2  # clusters below this share of an equal split cause a warning


@dataclass(frozen=True, eq=False)
class ClassPoints:
    """The samples of one coarse class from all ranks, in each candidate space.

    Attributes:
        coarse: number of the coarse class.
        index: (n,) int64 sample ids, ascending.
        points: the points (n, r) float32 in each space.
    """

    coarse: int
    index: Tensor
    points: Mapping[Space, FloatArray]


@dataclass(frozen=True, eq=False)
class ClassClusters:
    """The clusters inside one coarse class of n samples on all ranks, found without fine labels.

    Attributes:
        coarse: number of the coarse class.
        index: (n,) int64 sample ids, ascending; all other tensors use this order.
        ids: (n,) int64 clusters in 0..k-1, numbered by their first sample.
        confidence: (n,) float32 in [0, 1], probability of the sample's cluster, averaged over the
            clusterings of all samples and of both halves.
        margin: (n,) float32 in [-1, 1], ``confidence`` minus the probability of the second-best
            cluster.
        xy: (n, 2) float32 coordinates along the axes that separate the clusters best.
        space: the chosen space and clusterer, with the rank in this class.
        k: number of clusters.
        separation: gain in nats per sample of the clusters over one Gaussian
            (``clustering.separation``), used to choose the space. At or below 0 there is no
            sub-structure. NaN in a space that is not whitened.
        stability: agreement (adjusted Rand index) of the clusterings of two random halves, in [0,
            1]; 1 for k = 1.
        silhouette: mean silhouette in the plane of ``xy``, in [-1, 1]; about 0.5 for an
            unstructured Gaussian cut in two, 0 for k = 1.
        valleys: (k,) p-value of the test for a valley of density around each cluster
            (:mod:`~collapse_lit.measure.recovery.valley`); 1 for k = 1.
        parents: (k,) the cluster of the first division that contains each cluster. Clusters with
            the same parent were found by dividing it again
            (:mod:`~collapse_lit.measure.recovery.deeper`).
    """

    coarse: int
    index: Tensor
    ids: Tensor
    confidence: Tensor
    margin: Tensor
    xy: Tensor
    space: Space
    k: int
    separation: float
    stability: float
    silhouette: float
    valleys: tuple[float, ...]
    parents: tuple[int, ...]

    @property
    def distinct(self) -> bool:
        """Whether there are at least two reproducible clusters with a valley around each."""
        return self.k > 1 and self.stability >= REPRODUCIBLE and max(self.valleys) <= VALLEY

    def __len__(self) -> int:
        return len(self.index)

    @property
    def sizes(self) -> list[int]:
        """Number of samples of each of the k clusters."""
        return torch.bincount(self.ids, minlength=self.k).tolist()

    @property
    def lopsided(self) -> str:
        """``empty`` or ``very small`` if one of the clusters is, else an empty string."""
        smallest = min(self.sizes)
        if smallest >= LOPSIDED * len(self) / self.k:
            return ""
        return "empty" if smallest == 0 else "very small"


@dataclass(frozen=True, eq=False)
class Recovery:
    """The clusters found, their spaces and scores; no fine labels were used.

    ``classes`` are the same on every rank. Per-sample tensors hold this rank's samples, in the
    order passed to ``recover``, on the device of the features.

    Attributes:
        classes: the clusters of each of the C coarse classes, in order.
        ids: (n_local,) int64 cluster ids in 0..K-1, unique over coarse classes. The clusters of a
            coarse class are contiguous, in the order of coarse classes.
        confidence: (n_local,) float32 in [0, 1]; see :class:`ClassClusters`.
        margin: (n_local,) float32 in [-1, 1].
        xy: (n_local, 2) float32, each sample in the plane of its own class.
    """

    classes: tuple[ClassClusters, ...]
    ids: Tensor
    confidence: Tensor
    margin: Tensor
    xy: Tensor

    @classmethod
    def of(cls, classes: Sequence[ClassClusters], index: Tensor) -> "Recovery":
        """The recovery on a rank that holds the samples ``index`` (n_local,), on their device."""
        everyone = torch.cat([found.index for found in classes])  # (N,), class by class
        order = everyone.argsort()
        place = order[torch.searchsorted(everyone[order], index.cpu())]  # (n_local,)

        def own(columns: list[Tensor]) -> Tensor:
            return torch.cat(columns)[place].to(index.device)

        first = _first_clusters(classes)
        return cls(
            classes=tuple(classes),
            ids=own([found.ids + start for found, start in zip(classes, first, strict=True)]),
            confidence=own([found.confidence for found in classes]),
            margin=own([found.margin for found in classes]),
            xy=own([found.xy for found in classes]),
        )

    @cached_property
    def cluster_to_coarse(self) -> Tensor:
        """(K,) int64, the coarse class of each cluster."""
        return torch.arange(len(self.k)).repeat_interleave(torch.tensor(self.k))

    @cached_property
    def first_clusters(self) -> tuple[int, ...]:
        """(C,) the id of each coarse class's first cluster."""
        return _first_clusters(self.classes)

    @cached_property
    def sizes(self) -> Tensor:
        """(K,) int64 samples per cluster, over all ranks."""
        return torch.tensor([size for found in self.classes for size in found.sizes])

    @property
    def k(self) -> tuple[int, ...]:
        """(C,) number of clusters of each coarse class."""
        return tuple(found.k for found in self.classes)

    @property
    def space(self) -> tuple[str, ...]:
        """(C,) name of the space and clusterer of each coarse class, such as ``"white32/gmm"``."""
        return tuple(str(found.space) for found in self.classes)

    @property
    def separation_per_class(self) -> tuple[float, ...]:
        """(C,) nats per sample; see :class:`ClassClusters`."""
        return tuple(found.separation for found in self.classes)

    @property
    def stability_per_class(self) -> tuple[float, ...]:
        """(C,) in [0, 1]."""
        return tuple(found.stability for found in self.classes)

    @property
    def silhouette_per_class(self) -> tuple[float, ...]:
        """(C,) in [-1, 1]."""
        return tuple(found.silhouette for found in self.classes)

    @property
    def separation(self) -> float:
        """Mean separation over coarse classes, nats per sample; comparable between epochs."""
        return float(np.mean(self.separation_per_class))

    @property
    def stability(self) -> float:
        """Mean stability over coarse classes, in [0, 1]."""
        return float(np.mean(self.stability_per_class))

    @property
    def silhouette(self) -> float:
        """Mean silhouette over coarse classes, in [-1, 1]."""
        return float(np.mean(self.silhouette_per_class))

    @property
    def distinct(self) -> float:
        """Share of coarse classes with a valley of density around every cluster."""
        return float(np.mean([found.distinct for found in self.classes]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each coarse class with an empty or very small cluster."""
        return tuple(
            f"coarse class {found.coarse}: clusters of {found.sizes} samples; one is "
            f"{found.lopsided}"
            for found in self.classes
            if found.lopsided
        )


def _first_clusters(classes: Sequence[ClassClusters]) -> tuple[int, ...]:
    """(C,) total number of clusters of the preceding classes."""
    return tuple(np.cumsum([0, *(found.k for found in classes)])[:-1].tolist())
