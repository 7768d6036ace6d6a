"""Sub-classes of every class, found without a fine label, and what is to be said of each."""

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

FEW = 32  # samples below which recover looks along a single axis
SILHOUETTE_SAMPLES = 1000  # rows of a class that silhouettes are taken among


@dataclass(frozen=True, eq=False)
class SubClasses(ClassClusters):
    """The k clusters inside one class, and what is to be said of them.

    Attributes:
        asked: the number that was asked for, None where it was estimated.
    """

    asked: int | None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why its clusters may be none, where no valley of density lies around each.

        Low separation, halves that disagree, few samples.
        """
        if self.k == 1:
            return ()
        reasons = []
        if not self.distinct and self.separation <= 0:
            reasons.append(
                f"doubtful: {self.k} clusters describe it no better than one "
                f"(separation {self.separation:.2f}, not above 0)"
            )
        if not self.distinct and self.stability < REPRODUCIBLE:
            reasons.append(
                f"doubtful: two random halves of it agree at {self.stability:.2f} only "
                f"(below {REPRODUCIBLE})"
            )
        if len(self) < FEW:
            reasons.append(f"doubtful: found in {len(self)} samples only (below {FEW})")
        return tuple(reasons)

    @property
    def verdict(self) -> str:
        """``distinct``, ``gradual``, ``doubtful`` or ``one``.

        Clusters are distinct if a valley of density lies around each; gradual if they are
        reproducible without: a continuum cut in pieces, or clusters that overlap.
        """
        if self.k == 1:
            return "one"
        if self.doubts:
            return "doubtful"
        return "distinct" if self.distinct else "gradual"

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader should be wary of: the doubts, clusters or classes that are too small."""
        said = list(self.doubts)
        if self.verdict == "gradual":
            said.append(self._gradual)
        if self.lopsided:
            said.append(f"one of its clusters is {self.lopsided}: {self.sizes} samples")
        if self.k == 1 and len(self) < FEW:
            said.append(f"too few samples to tell: {len(self)} (below {FEW})")
        return tuple(said)

    @property
    def _gradual(self) -> str:
        joined = [j for j, p in enumerate(self.valleys) if p > VALLEY]
        which = "any" if len(joined) == self.k else f"{len(joined)}"
        return (
            f"gradual: no valley of density around {which} of its clusters: one shape cut in "
            "pieces, or clusters that overlap"
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is to be said of this class."""
        if self.k > 1:
            return self.cautions
        none = "no sub-structure found" if self.asked is None else "one cluster, as asked"
        return (none, *self.cautions)

    def silhouettes(self) -> list[float | None]:
        """Mean silhouette of each cluster in the plane, of up to 1,000 samples; None for k = 1."""
        some = np.random.default_rng(0).permutation(len(self))[:SILHOUETTE_SAMPLES]
        ids = self.ids.numpy()[some]
        present = np.unique(ids)
        if not 2 <= len(present) < len(some):
            return [None] * self.k
        values = silhouette_samples(self.xy.numpy()[some], ids)
        return [float(values[ids == j].mean()) if j in present else None for j in range(self.k)]


@dataclass(frozen=True, eq=False)
class Discovery:
    """What was found in all N samples.

    Attributes:
        recovery: the clusters of all classes.
        classes: the sub-classes of each class, in order.
        seed: of all random starts and halves.
    """

    recovery: Recovery
    classes: tuple[SubClasses, ...]
    seed: int

    @property
    def cluster_to_coarse(self) -> Tensor:
        """(K,) int64, the class of each cluster; those of a class follow one another."""
        return self.recovery.cluster_to_coarse

    @property
    def ids(self) -> Tensor:
        """(N,) int64, clusters numbered 0..K-1 over all classes."""
        return self.recovery.ids

    @property
    def confidence(self) -> Tensor:
        """(N,) float32 in [0, 1], probability of the sample's cluster."""
        return self.recovery.confidence

    @property
    def margin(self) -> Tensor:
        """(N,) float32 in [-1, 1], the same less that of the runner-up."""
        return self.recovery.margin

    def first_cluster(self, coarse: int) -> int:
        """The number of a class's first cluster among all K."""
        return self.recovery.first_clusters[coarse]


def discover(
    samples: Samples, k: Wanted = "auto", seed: int = 0, space: str | None = None
) -> Discovery:
    """Find the sub-classes of each class; fine labels are not looked at.

    Args:
        samples: features and classes.
        k: clusters in every class, or ``"auto"`` to estimate each (1 to 8), or ``{class: number}``
            for some classes by name, the others being estimated.
        seed: seed of all random starts and halves.
        space: a space and clusterer for all classes, such as ``"white32/gmm"``; None or ``"auto"``
            to choose one for each class without labels.

    Raises:
        UserError: ``k`` names no class, or is larger than a class; or there is no such space.
    """
    asked = numbers_wanted(k, samples)
    spaces_wanted(space, estimate=None in asked)
    found = recover(samples.features, samples.coarse, asked, seed=seed, space=space)
    classes = tuple(
        SubClasses(**vars(clusters), asked=number)
        for clusters, number in zip(found.classes, asked, strict=True)
    )
    return Discovery(found, classes, seed)
