"""Agreement of clusters with known fine labels, which are used only after the clustering."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collapse_lit.discover.discovery import Discovery
from collapse_lit.discover.samples import Samples
from collapse_lit.measure.recovery.matching import match_clusters, match_random_clusters
from collapse_lit.measure.recovery.probe import fit_probe

FLOOR_DRAWS = 10
ENOUGH = 4  # known samples per feature; with fewer, a probe on all features is not a valid ceiling


@dataclass(frozen=True)
class Agreement:
    """Scores on the samples whose fine label is known.

    Attributes:
        known: number of those samples.
        total: number of all samples.
        accuracy: share of the known samples whose cluster is matched to their fine label. The
            matching is one to one inside each class; samples of an unmatched cluster count as
            wrong.
        accuracy_macro: accuracy inside each fine class, averaged over fine classes.
        nmi: normalised mutual information inside each class, averaged over classes.
        ari: adjusted Rand index, averaged in the same way.
        floor: accuracy of the same number of random clusters; mean of ten draws.
        ceiling: two-fold accuracy of a linear probe trained on the true fine labels. Like the
            clusters, the probe is told the class. None with fewer than four known samples per
            feature, which are too few to fit the probe.
        matched: for each cluster, its matched fine class and the share of its known samples in that
            class; None without a match.
    """

    known: int
    total: int
    accuracy: float
    accuracy_macro: float
    nmi: float
    ari: float
    floor: float
    ceiling: float | None
    matched: tuple[tuple[str, float] | None, ...]


def agree(samples: Samples, found: Discovery) -> Agreement | None:
    """Score clusters on the known fine labels; None without fine labels."""
    if samples.fine is None:
        return None
    rows = torch.where(samples.fine >= 0)[0]
    fine, coarse = samples.fine[rows], samples.coarse[rows]
    hierarchy = (found.cluster_to_coarse, samples.fine_to_coarse)
    match = match_clusters(found.ids[rows], fine, *hierarchy)
    random = [
        matched.acc
        for _, matched in match_random_clusters(rows, fine, coarse, *hierarchy, range(FLOOR_DRAWS))
    ]
    return Agreement(
        known=len(rows),
        total=len(samples),
        accuracy=match.acc,
        accuracy_macro=match.acc_macro,
        nmi=match.nmi,
        ari=match.ari,
        floor=float(np.mean(random)),
        ceiling=_ceiling(samples, rows, fine, found.seed),
        matched=_matched(match.cluster_to_fine, match.contingency, samples.fine_names),
    )


def _ceiling(samples: Samples, rows: Tensor, fine: Tensor, seed: int) -> float | None:
    """Two-fold accuracy of a probe on the true fine labels, which is told the class."""
    if len(rows) < ENOUGH * samples.features.shape[1]:
        return None
    inside = samples.coarse[rows][:, None] == samples.fine_to_coarse  # (n, F)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)))
    halves = order[::2], order[1::2]
    right = 0
    for train, test in (halves, halves[::-1]):
        probe = fit_probe(samples.features[rows[train]], fine[train], len(samples.fine_names))
        predicted = probe.predict(samples.features[rows[test]], allowed=inside[test])
        right += int((predicted == fine[test]).sum())
    return right / len(rows)


def _matched(
    cluster_to_fine: Tensor, contingency: Tensor, names: Sequence[str]
) -> tuple[tuple[str, float] | None, ...]:
    return tuple(
        (names[f], int(row[f]) / int(row.sum())) if f >= 0 and row[f] > 0 else None
        for f, row in zip(cluster_to_fine.tolist(), contingency, strict=True)
    )
