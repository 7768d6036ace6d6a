"""The sub-classes of every class, found without fine labels, with a verdict on each class."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import silhouette_samples
from torch import Tensor

from collapse_lit.discover.samples import Samples
from collapse_lit.discover.wanted import Wanted, numbers_wanted, spaces_wanted
from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.choice import REPRODUCIBLE
from collapse_lit.measure.recovery.clusters import ClassClusters, Recovery
from collapse_lit.measure.recovery.valley import VALLEY

FEW = 32  # with fewer samples, recover uses a single axis
SILHOUETTE_SAMPLES = 1000  # samples of a class used for silhouettes


@dataclass(frozen=True, eq=False)
class SubClasses(ClassClusters):
    """The k clusters inside one class, with a verdict.

    Attributes:
        asked: the requested number of clusters, None if it was estimated.
    """

    asked: int | None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to doubt clusters without a valley of density around each.

        The reasons are low separation, halves that disagree, and few samples.
        """
        if self.k == 1:
            return ()
        reasons = []
        if not self.distinct and self.separation <= 0:
            reasons.append(
                f"doubtful: {self.k} clusters fit it no better than one (separation "
                f"{self.separation:.2f}, not above 0)"
            )
        if not self.distinct and self.stability < REPRODUCIBLE:
            reasons.append(
                f"doubtful: two random halves agree only to {self.stability:.2f} "
                f"(below {REPRODUCIBLE})"
            )
        if len(self) < FEW:
            reasons.append(f"doubtful: found in only {len(self)} samples (below {FEW})")
        return tuple(reasons)

    @property
    def verdict(self) -> str:
        """``distinct``, ``gradual``, ``doubtful`` or ``one``.

        Clusters are distinct if a valley of density lies around each. They are gradual if they are
        reproducible without such valleys: parts of a continuum, or overlapping clusters.
        """
        if self.k == 1:
            return "one"
        if self.doubts:
            return "doubtful"
        return "distinct" if self.distinct else "gradual"

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings for the reader: doubts, and clusters or classes that are too small."""
        said = list(self.doubts)
        if self.verdict == "gradual":
            said.append(self._gradual)
        if self.lopsided:
            said.append(f"one cluster is {self.lopsided}: cluster sizes {self.sizes}")
        if self.k == 1 and len(self) < FEW:
            said.append(f"too few samples for a verdict: {len(self)} (below {FEW})")
        return tuple(said)

    @property
    def _gradual(self) -> str:
        joined = [j for j, p in enumerate(self.valleys) if p > VALLEY]
        which = "any" if len(joined) == self.k else f"{len(joined)}"
        return (
            f"gradual: no valley of density around {which} of its clusters; they may overlap or be "
            "parts of one continuum"
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """All remarks about this class."""
        if self.k > 1:
            return self.cautions
        none = "no sub-structure found" if self.asked is None else "one cluster, as requested"
        return (none, *self.cautions)

    def silhouettes(self) -> list[float | None]:
        """Mean silhouette of each cluster in the plane, on up to 1,000 samples; None for k = 1."""
        some = np.random.default_rng(0).permutation(len(self))[:SILHOUETTE_SAMPLES]
        ids = self.ids.numpy()[some]
        present = np.unique(ids)
        if not 2 <= len(present) < len(some):
            return [None] * self.k
        values = silhouette_samples(self.xy.numpy()[some], ids)
        return [float(values[ids == j].mean()) if j in present else None for j in range(self.k)]


@dataclass(frozen=True, eq=False)
class Discovery:
    """The sub-classes found in all N samples.

    Attributes:
        recovery: the clusters of all classes.
        classes: the sub-classes of each class, in order.
        seed: seed of all random starts and halves.
    """

    recovery: Recovery
    classes: tuple[SubClasses, ...]
    seed: int

    @property
    def cluster_to_coarse(self) -> Tensor:
        """(K,) int64, the class of each cluster; the clusters of a class are contiguous."""
        return self.recovery.cluster_to_coarse

    @property
    def ids(self) -> Tensor:
        """(N,) int64, cluster of each sample, numbered 0..K-1 over all classes."""
        return self.recovery.ids

    @property
    def confidence(self) -> Tensor:
        """(N,) float32 in [0, 1], probability of each sample's cluster."""
        return self.recovery.confidence

    @property
    def margin(self) -> Tensor:
        """(N,) float32 in [-1, 1], confidence minus the probability of the second-best cluster."""
        return self.recovery.margin

    def first_cluster(self, coarse: int) -> int:
        """The number of a class's first cluster among all K."""
        return self.recovery.first_clusters[coarse]


def discover(
    samples: Samples, k: Wanted = "auto", seed: int = 0, space: str | None = None
) -> Discovery:
    """Find the sub-classes of each class without using fine labels.

    Args:
        samples: features and classes.
        k: clusters in every class, or ``"auto"`` to estimate each, or ``{class: number}``
            for some classes by name; the other classes are estimated.
        seed: seed of all random starts and halves.
        space: a space and clusterer for all classes, such as ``"white32/gmm"``; None or ``"auto"``
            chooses one for each class without labels.

    Raises:
        UserError: ``k`` names an unknown class or exceeds the size of a class, or the space is
            unknown.
    """
    asked = numbers_wanted(k, samples)
    spaces_wanted(space, estimate=None in asked)
    found = recover(samples.features, samples.coarse, asked, seed=seed, space=space)
    classes = tuple(
        SubClasses(**vars(clusters), asked=number)
        for clusters, number in zip(found.classes, asked, strict=True)
    )
    return Discovery(found, classes, seed)
