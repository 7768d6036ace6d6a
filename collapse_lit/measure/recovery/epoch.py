"""Which epoch of a run to trust, decided without a fine label."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lit.measure.recovery.choice import REPRODUCIBLE, choice_score
from collapse_lit.metrics import SEPARATION, SILHOUETTE, SPACE, STABILITY, TEST_ACCURACY

ALIKE = 0.1  # relative difference between scores that decides nothing


def select_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The earliest epoch whose :func:`epoch_score` is alike to the largest.

    Epochs whose clusters are no better separated than a Gaussian cut in two, or that two halves of
    the samples do not agree on, do not qualify. Scores within a tenth of the largest are alike:
    they vary by as much between neighbouring epochs, and late in collapse fine classes fade while
    their score still rises.

    Args:
        rows: History rows with ``epoch``, the keys of :func:`epoch_score`, the other label-free
            scores and ``recovery/space``; rows without a separation are passed over.

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
    """Whether its clusters can be told from those of an unstructured Gaussian."""
    if row.get(SEPARATION) is None:
        return False
    stability = row.get(STABILITY)
    reproducible = stability is None or stability >= REPRODUCIBLE
    return reproducible and epoch_score(row) > 0


def epoch_score(row: Mapping[str, Any]) -> float:
    """How much an epoch promises to recover, without a fine label.

    A test image's fine class is found if its coarse class is, and then the right one inside it. The
    first has a measure that needs no fine label, the coarse accuracy on the test set; to the second
    speak the scores that choose a space within an epoch: well separated, and reproducible, for
    features of a network that learns its labels by heart can be cut very well, but each time
    differently.

    Args:
        row: ``recovery/separation`` and, as far as known, ``recovery/stability`` and
            ``test/acc_coarse``.
    """
    stability, accuracy = (row.get(key) for key in (STABILITY, TEST_ACCURACY))
    inside = choice_score(row[SEPARATION], 1.0 if stability is None else stability)
    return inside * (1.0 if accuracy is None or math.isnan(accuracy) else accuracy)
