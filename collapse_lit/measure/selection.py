"""Which epoch of a run to trust, decided without a fine label."""

from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lit.measure.choice import choice_score


def select_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The epoch by the rule that chooses a space within one: well separated, and reproducible.

    Features of a network that learns its labels by heart can be cut very well, but each time
    differently. Of equal epochs the latest counts.

    Args:
        rows: History rows with ``epoch``, ``recovery/separation``, the other label-free scores and
            ``recovery/space``; rows without a separation are passed over.

    Returns:
        ``epoch``, ``space`` and the label-free scores of the chosen row; None without any.
    """
    scored = [row for row in rows if row.get("recovery/separation") is not None]
    if not scored:
        return None

    def score(row: Mapping[str, Any]) -> float:
        return choice_score(row["recovery/separation"], row.get("recovery/stability", 1.0))

    best = max(scored, key=lambda row: (score(row), row["epoch"]))
    scores = ("separation", "stability", "silhouette")
    return {
        "epoch": best["epoch"],
        "space": best.get("recovery/space"),
        **{score: best.get(f"recovery/{score}") for score in scores},
    }
