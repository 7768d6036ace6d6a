"""Sub-classes of every class, found without a fine label, and what is to be said of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.metrics import silhouette_samples
from torch import Tensor

from collapse_lit.discover.samples import Samples
from collapse_lit.errors import UserError
from collapse_lit.measure.recovery.all_classes import LOPSIDED, Recovery, recover

REPRODUCIBLE = 0.5  # stability below which clusters are called doubtful
FEW = 32  # samples below which recover looks along a single axis
SILHOUETTE_SAMPLES = 1000  # rows of a class that silhouettes are taken among

Wanted = int | str | Mapping[str, int]


@dataclass(frozen=True, eq=False)
class SubClasses:
    """The k clusters inside one class; its n samples keep their order.

    Attributes:
        coarse: number of the class.
        rows: (n,) int64, the rows of its samples.
        ids: (n,) int64 in 0..k-1.
        confidence: (n,) float32 in [0, 1], probability of the sample's cluster.
        margin: (n,) float32 in [-1, 1], the same less that of the runner-up.
        xy: (n, 2) float32, the plane that separates the clusters best.
        k: number of clusters.
        asked: the number that was asked for, None where it was estimated.
        space: the space and clusterer chosen.
        separation: nats per sample by which k clusters describe the class better than one.
        stability: agreement (adjusted Rand index) of two random halves.
        silhouette: mean silhouette in the plane.
    """

    coarse: int
    rows: Tensor
    ids: Tensor
    confidence: Tensor
    margin: Tensor
    xy: Tensor
    k: int
    asked: int | None
    space: str
    separation: float
    stability: float
    silhouette: float

    @cached_property
    def sizes(self) -> list[int]:
        """Samples of each cluster."""
        return torch.bincount(self.ids, minlength=self.k).tolist()

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """Why its clusters may be none: low separation, halves that disagree, few samples."""
        reasons = []
        if self.k > 1 and self.separation <= 0:
            reasons.append(
                f"doubtful: {self.k} clusters describe it no better than one "
                f"(separation {self.separation:.2f}, not above 0)"
            )
        if self.k > 1 and self.stability < REPRODUCIBLE:
            reasons.append(
                f"doubtful: two random halves of it agree at {self.stability:.2f} only "
                f"(below {REPRODUCIBLE})"
            )
        if self.k > 1 and len(self.rows) < FEW:
            reasons.append(f"doubtful: found in {len(self.rows)} samples only (below {FEW})")
        return tuple(reasons)

    @property
    def verdict(self) -> str:
        """``found``, ``doubtful`` or ``none``."""
        return "none" if self.k == 1 else "doubtful" if self.doubts else "found"

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader should be wary of: the doubts, clusters or classes that are too small."""
        said = list(self.doubts)
        if self.k > 1 and min(self.sizes) < LOPSIDED * len(self.rows) / self.k:
            kind = "empty" if min(self.sizes) == 0 else "very small"
            said.append(f"one of its clusters is {kind}: {self.sizes} samples")
        if self.k == 1 and len(self.rows) < FEW:
            said.append(f"too few samples to tell: {len(self.rows)} (below {FEW})")
        return tuple(said)

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is to be said of this class."""
        if self.k > 1:
            return self.cautions
        none = "no sub-structure found" if self.asked is None else "one cluster, as asked"
        return (none, *self.cautions)

    def silhouettes(self) -> list[float | None]:
        """Mean silhouette of each cluster in the plane, of up to 1,000 samples; None for k = 1."""
        some = np.random.default_rng(0).permutation(len(self.rows))[:SILHOUETTE_SAMPLES]
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
        classes: the sub-classes of each class, in order.
        seed: of all random starts and halves.
    """

    classes: tuple[SubClasses, ...]
    seed: int

    @cached_property
    def cluster_to_coarse(self) -> Tensor:
        """(K,) int64, the class of each cluster; those of a class follow one another."""
        return torch.tensor([found.coarse for found in self.classes for _ in range(found.k)])

    def first_cluster(self, coarse: int) -> int:
        """The number of a class's first cluster among all K."""
        return sum(found.k for found in self.classes[:coarse])

    @cached_property
    def ids(self) -> Tensor:
        """(N,) int64, clusters numbered 0..K-1 over all classes."""
        return self._by_row(
            [found.ids + self.first_cluster(found.coarse) for found in self.classes]
        )

    @cached_property
    def confidence(self) -> Tensor:
        """(N,) float32."""
        return self._by_row([found.confidence for found in self.classes])

    @cached_property
    def margin(self) -> Tensor:
        """(N,) float32."""
        return self._by_row([found.margin for found in self.classes])

    def _by_row(self, columns: Sequence[Tensor]) -> Tensor:
        rows = torch.cat([found.rows for found in self.classes])
        return torch.cat(list(columns))[rows.argsort()]


def discover(samples: Samples, k: Wanted = "auto", seed: int = 0) -> Discovery:
    """Find the sub-classes of each class; fine labels are not looked at.

    Args:
        samples: features and classes.
        k: clusters in every class, or ``"auto"`` to estimate each (1 to 8), or ``{class: number}``
            for some classes by name, the others being estimated.
        seed: seed of all random starts and halves.

    Raises:
        UserError: ``k`` names no class, or is larger than a class.
    """
    asked = clusters_wanted(k, samples)
    classes: list[SubClasses] = []
    for some in ([a is None for a in asked], [a is not None for a in asked]):
        kept = np.flatnonzero(some).tolist()  # classes that recover can be asked for at once
        if kept:
            classes += _found(samples, kept, asked, seed)
    return Discovery(tuple(sorted(classes, key=lambda found: found.coarse)), seed)


def clusters_wanted(k: Wanted, samples: Samples) -> list[int | None]:
    """The number of clusters asked for in each class, None where it is to be estimated.

    Raises:
        UserError: It is no number of clusters, or names no class, or a class is smaller.
    """
    names, sizes = samples.coarse_names, torch.bincount(samples.coarse).tolist()
    by_name = {str(name): number for name, number in k.items()} if isinstance(k, Mapping) else {}
    unknown = sorted(set(by_name) - set(names))
    if unknown:
        raise UserError(
            f"--k: there is no class {', '.join(unknown)}; there are {', '.join(names[:20])}"
            + (", …" if len(names) > 20 else "")
        )
    every = "auto" if isinstance(k, Mapping) else k
    return [
        _number(by_name.get(name, every), name, size)
        for name, size in zip(names, sizes, strict=True)
    ]


def _number(asked: int | str, name: str, size: int) -> int | None:
    """The clusters asked for in one class of ``size`` samples; None for "auto"."""
    if asked == "auto":
        return None
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise UserError(f"--k: {asked!r} is no number of clusters; auto, 3 or '{{cat: 3}}' is")
    if asked > size:
        raise UserError(
            f"--k: cannot make {asked} clusters of class {name}, which has {size} samples"
        )
    return asked


def _found(
    samples: Samples, kept: list[int], asked: Sequence[int | None], seed: int
) -> Iterator[SubClasses]:
    """The sub-classes of some classes: all asked for by number, or all estimated."""
    place = torch.full((len(samples.coarse_names),), -1)
    place[kept] = torch.arange(len(kept))
    rows = torch.where(place[samples.coarse] >= 0)[0]
    coarse = place[samples.coarse[rows]]
    numbers = [number for c in kept if (number := asked[c]) is not None]
    features = samples.features if len(rows) == len(samples) else samples.features[rows]
    found = recover(features, coarse, numbers or "auto", seed=seed)
    for i, c in enumerate(kept):
        yield _of_class(found, i, torch.where(coarse == i)[0], rows, c, asked[c])


def _of_class(
    found: Recovery, i: int, mine: Tensor, rows: Tensor, coarse: int, asked: int | None
) -> SubClasses:
    return SubClasses(
        coarse=coarse,
        rows=rows[mine],
        ids=found.ids[mine] - sum(found.k[:i]),
        confidence=found.confidence[mine],
        margin=found.margin[mine],
        xy=found.xy[mine],
        k=found.k[i],
        asked=asked,
        space=found.space[i],
        separation=found.separation_per_class[i],
        stability=found.stability_per_class[i],
        silhouette=found.silhouette_per_class[i],
    )
