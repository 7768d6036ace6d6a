"""The classifier's accuracy, loss and confusions in each cluster, worst first."""

import math
from collections import Counter
from dataclasses import dataclass

import torch
from scipy.stats import norm

from collapse_lit.discover.discovery import Discovery
from collapse_lit.discover.samples import Samples

LEVEL = 0.95  # joint confidence level of all intervals of differences
NOTABLE = 0.05  # drop in accuracy below the rest of the class that causes a warning
LEARNT = 0.25  # of the way from guessing to no mistakes; below, labels count as hardly learnt
MOST_CONFUSIONS = 3

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClusterFailures:
    """The classifier's results on one cluster.

    Attributes:
        cluster: number of the cluster.
        samples: number of its samples with a known prediction, at least one.
        right: number of samples that are classified correctly.
        interval: Wilson's 95 % interval of the accuracy.
        loss: mean cross-entropy in nats, None if unknown.
        confusions: the most frequent wrong classes, with counts.
        rest: accuracy on the rest of the class, None if the cluster is the whole class.
        difference: interval of the accuracy minus that of the rest, at 95 % for all clusters
            jointly; None without a rest.
    """

    cluster: int
    samples: int
    right: int
    interval: Interval
    loss: float | None
    confusions: tuple[tuple[str, int], ...]
    rest: float | None = None
    difference: Interval | None = None

    @property
    def accuracy(self) -> float:
        """Share of the samples that are classified correctly."""
        return self.right / self.samples

    @property
    def worse(self) -> bool:
        """Whether the accuracy is notably and significantly below that of the rest of the class."""
        return self.difference is not None and self.difference[1] < -NOTABLE

    @property
    def sentence(self) -> str:
        """The warning for a cluster that is worse."""
        assert self.rest is not None
        assert self.difference is not None
        low, high = (100 * -side for side in reversed(self.difference))
        return (
            f"the classifier is right on {100 * self.accuracy:.1f} % of cluster {self.cluster} and "
            f"on {100 * self.rest:.1f} % of the rest of the class ({low:.0f} to {high:.0f} points "
            "worse)"
        )


@dataclass(frozen=True)
class Failures:
    """The classifier's results on all clusters.

    Attributes:
        samples: number of samples with a known prediction.
        right: number of samples that are classified correctly.
        clusters: clusters with such samples, worst first.
        recall: accuracy inside a class, averaged over the classes with such samples.
        classes: number of these classes.
    """

    samples: int
    right: int
    clusters: tuple[ClusterFailures, ...]
    recall: float
    classes: int

    @property
    def hardly_learnt(self) -> str:
        """A warning if the classifier is little better than guessing, else an empty string.

        Whatever its answer, a guess is right in one class of C on average: recall is 1 / C.
        """
        guess = 1 / self.classes
        if self.classes == 1 or self.recall - guess >= LEARNT * (1 - guess):
            return ""
        return (
            f"the classifier has hardly learnt its labels: its mean accuracy over the classes is "
            f"{100 * self.recall:.1f} %, that of a guess {100 * guess:.1f} %; its features say "
            "little about sub-classes"
        )


def find_failures(samples: Samples, found: Discovery) -> Failures | None:
    """Score the classifier in each cluster; None without predictions."""
    if samples.predictions is None:
        return None
    given, loss = samples.predictions.ids, samples.predictions.loss
    place = {name: c for c, name in enumerate(samples.coarse_names)}
    to_coarse = torch.tensor([place.get(name, -1) for name in samples.predictions.names])
    known = given >= 0
    right = known & (to_coarse[given.clamp(min=0)] == samples.coarse)
    judged = sum(classes.k for classes in found.classes if classes.k > 1)
    scores = []
    for cluster, coarse in enumerate(found.cluster_to_coarse.tolist()):
        mine = known & (found.ids == cluster)
        rest = known & (samples.coarse == coarse) & ~mine
        n, hits = int(mine.sum()), int((right & mine).sum())
        if not n:
            continue
        others, other_hits = int(rest.sum()), int((right & rest).sum())
        wrong = Counter(given[mine & ~right].tolist()).most_common(MOST_CONFUSIONS)
        scores.append(
            ClusterFailures(
                cluster=cluster,
                samples=n,
                right=hits,
                interval=wilson(hits, n),
                loss=None if loss is None else float(loss[mine].mean()),
                confusions=tuple((samples.predictions.names[c], count) for c, count in wrong),
                rest=other_hits / others if others else None,
                difference=difference(hits, n, other_hits, others, 1 - (1 - LEVEL) / judged)
                if others
                else None,
            )
        )
    scores.sort(key=lambda score: (score.accuracy, -(score.loss or 0), score.cluster))
    of_class, right_of_class = (
        torch.bincount(samples.coarse[rows], minlength=len(samples.coarse_names))
        for rows in (known, right)
    )
    recalls = (right_of_class / of_class)[of_class > 0]
    return Failures(
        samples=int(known.sum()),
        right=int(right.sum()),
        clusters=tuple(scores),
        recall=float(recalls.mean()),
        classes=len(recalls),
    )


def wilson(right: int, n: int, level: float = LEVEL) -> Interval:
    """Interval of a share by Wilson's score (1927)."""
    z = norm.ppf((1 + level) / 2)
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def difference(right: int, n: int, other_right: int, others: int, level: float) -> Interval:
    """Interval of the difference of two shares by Newcombe's hybrid score (1998, method 10)."""
    p, q = right / n, other_right / others
    (low, high), (other_low, other_high) = (
        wilson(right, n, level),
        wilson(other_right, others, level),
    )
    return (
        p - q - math.hypot(p - low, other_high - q),
        p - q + math.hypot(high - p, q - other_low),
    )
