"""Which epoch of a run to trust, decided without a fine label."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lit.measure.recovery.choice import choice_score
from collapse_lit.metrics import SEPARATION, SILHOUETTE, SPACE, STABILITY, TEST_ACCURACY


def select_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The epoch with the largest :func:`epoch_score`; of equal ones the latest.

    Args:
        rows: History rows with ``epoch``, the keys of :func:`epoch_score`, the other label-free
            scores and ``recovery/space``; rows without a separation are passed over.

    Returns:
        ``epoch``, ``space`` and the label-free scores of the chosen row; None without any.
    """
    scored = [row for row in rows if row.get(SEPARATION) is not None]
    if not scored:
        return None
    best = max(scored, key=lambda row: (epoch_score(row), row["epoch"]))
    scores = (SEPARATION, STABILITY, SILHOUETTE)
    return {
        "epoch": best["epoch"],
        "space": best.get(SPACE),
        **{key.split("/")[1]: best.get(key) for key in scores},
    }


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
