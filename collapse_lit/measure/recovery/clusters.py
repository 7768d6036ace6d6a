"""What recovery gives: the clusters of each coarse class, and of all classes together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.recovery.choice import REPRODUCIBLE
from collapse_lit.measure.recovery.spaces import Space
from collapse_lit.measure.recovery.valley import VALLEY

LOPSIDED = 0.2  # a cluster with less than this share of an even split is worth a warning


@dataclass(frozen=True, eq=False)
class ClassClusters:
    """The clusters inside one coarse class, of its n samples on all ranks; no fine label was used.

    Attributes:
        coarse: number of the coarse class.
        index: (n,) int64 sample ids, ascending; the order of all that follows.
        ids: (n,) int64 clusters in 0..k-1, numbered by their first sample.
        confidence: (n,) float32 in [0, 1], probability of the sample's cluster, averaged over
            the clusterings of all samples and of either half.
        margin: (n,) float32 in [-1, 1], ``confidence`` less that of the runner-up.
        xy: (n, 2) float32, the axes that separate the clusters best.
        space: the space and clusterer chosen, with the rank that it has in this class.
        k: number of clusters.
        separation: nats per sample by which the clusters describe the class better than one
            Gaussian does (``clustering.separation``): what chose the space. At or below 0 there is
            no sub-structure to speak of. NaN in a space that is not whitened.
        stability: agreement (adjusted Rand index) of clusterings from two random halves, in
            [0, 1]; 1 for k = 1.
        silhouette: mean silhouette in the plane of ``xy``, in [-1, 1]; an unstructured Gaussian
            cut in two has about 0.5, a class with k = 1 has 0.
        valleys: (k,) p-value of each cluster: whether a valley of density cuts it off from the
            others (:mod:`~collapse_lit.measure.recovery.valley`); 1 for k = 1.
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

    @property
    def distinct(self) -> bool:
        """Whether there are two reproducible clusters or more, and a valley around each."""
        return self.k > 1 and self.stability >= REPRODUCIBLE and max(self.valleys) <= VALLEY

    def __len__(self) -> int:
        return len(self.index)

    @property
    def sizes(self) -> list[int]:
        """Samples of each of the k clusters."""
        return torch.bincount(self.ids, minlength=self.k).tolist()

    @property
    def lopsided(self) -> str:
        """``empty`` or ``very small`` where one of the clusters is; else an empty string."""
        smallest = min(self.sizes)
        if smallest >= LOPSIDED * len(self) / self.k:
            return ""
        return "empty" if smallest == 0 else "very small"


@dataclass(frozen=True, eq=False)
class Recovery:
    """The clusters found, what they were found in, and how sure; no fine label was used.

    ``classes`` are the same on every rank. Per-sample tensors hold this rank's own samples, in the
    order in which they were passed to ``recover``, on the device of their features.

    Attributes:
        classes: the clusters of each of the C coarse classes, in order.
        ids: (n_local,) int64 cluster ids in 0..K-1, unique over coarse classes; the clusters of a
            coarse class are contiguous, coarse classes in order.
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
        """What a rank gives that holds the samples ``index`` (n_local,), on their device."""
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
        """Share of the coarse classes whose clusters are all cut off by a valley of density."""
        return float(np.mean([found.distinct for found in self.classes]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each coarse class that has an empty or a very small cluster."""
        return tuple(
            f"coarse class {found.coarse}: clusters of {found.sizes} samples; one is "
            f"{found.lopsided}"
            for found in self.classes
            if found.lopsided
        )


def _first_clusters(classes: Sequence[ClassClusters]) -> tuple[int, ...]:
    """(C,) how many clusters the classes before each one have."""
    return tuple(np.cumsum([0, *(found.k for found in classes)])[:-1].tolist())
