"""Choose the epoch of a run without fine labels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lit.measure.recovery.choice import REPRODUCIBLE, choice_score
from collapse_lit.metrics import SEPARATION, SILHOUETTE, SPACE, STABILITY, TEST_ACCURACY

ALIKE = 0.1  # smaller relative differences between scores are ignored


def select_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The earliest epoch whose :func:`epoch_score` is within 10 % of the largest.

    An epoch does not qualify if its clusters are no better separated than a Gaussian cut in two, or
    if two halves of the samples disagree. Scores vary by about 10 % between neighbouring epochs.
    Late in collapse, fine classes fade although the score still rises, so the earliest epoch is
    taken.

    Args:
        rows: History rows with ``epoch``, the keys of :func:`epoch_score`, the other label-free
            scores and ``recovery/space``; rows without a separation are skipped.

    Returns:
        ``epoch``, ``space`` and the label-free scores of the chosen row; None if none qualifies.
    """
    scores_of = {row["epoch"]: epoch_score(row) for row in rows if _qualifies(row)}
    if not scores_of:
        return None
    alike = (1 - ALIKE) * max(scores_of.values())
    first = min(epoch for epoch, score in scores_of.items() if score >= alike)
    best = next(row for row in rows if row["epoch"] == first)
    scores = (SEPARATION, STABILITY, SILHOUETTE)
    return {
        "epoch": best["epoch"],
        "space": best.get(SPACE),
        **{key.split("/")[1]: best.get(key) for key in scores},
    }


def _qualifies(row: Mapping[str, Any]) -> bool:
    """Whether its clusters differ from those of an unstructured Gaussian."""
    if row.get(SEPARATION) is None:
        return False
    stability = row.get(STABILITY)
    reproducible = stability is None or stability >= REPRODUCIBLE
    return reproducible and epoch_score(row) > 0


def epoch_score(row: Mapping[str, Any]) -> float:
    """The expected recovery of an epoch, without fine labels.

    The fine class of a test image is recovered if its coarse class is right, and then the cluster
    inside it. The coarse accuracy on the test set measures the first factor. The score that chooses
    a space within an epoch stands for the second: separation and stability. Stability matters
    because features of memorised labels separate well, but differently each time.

    Args:
        row: ``recovery/separation`` and, if known, ``recovery/stability`` and ``test/acc_coarse``.
    """
    stability, accuracy = (row.get(key) for key in (STABILITY, TEST_ACCURACY))
    inside = choice_score(row[SEPARATION], 1.0 if stability is None else stability)
    return inside * (1.0 if accuracy is None or math.isnan(accuracy) else accuracy)
