"""Which epoch of a run to trust, decided without a fine label."""

from collections.abc import Mapping, Sequence
from typing import Any


def select_epoch(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The epoch whose clusters are the best separated; of equal ones the latest.

    Args:
        rows: History rows with ``epoch``, ``recovery/separation``, the other label-free scores and
            ``recovery/space``; rows without a separation are passed over.

    Returns:
        ``epoch``, ``space`` and the label-free scores of the chosen row; None without any.
    """
    scored = [row for row in rows if row.get("recovery/separation") is not None]
    if not scored:
        return None
    best = max(scored, key=lambda row: (row["recovery/separation"], row["epoch"]))
    scores = ("separation", "stability", "silhouette")
    return {
        "epoch": best["epoch"],
        "space": best.get("recovery/space"),
        **{score: best.get(f"recovery/{score}") for score in scores},
    }
