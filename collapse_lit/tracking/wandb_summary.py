"""The summary values that sort runs in W&B's table of runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.metrics import HEADLINE, SPACE
from collapse_lit.tracking.run_directory import Row


def summary_values(
    history: Sequence[Row], identity: Mapping[str, Any], tags: Sequence[str] = ()
) -> dict[str, Any]:
    """Values that are added to W&B's summary, which already has the last value of each key.

    Args:
        history: Measured epochs, oldest first.
        identity: Content of ``run.json``.
        tags: The run's tags.

    Returns:
        ``selected/KEY``: all numbers of the epoch chosen without fine labels, and its space.
        ``oracle_best/KEY``: the largest headline and its epoch, which only fine labels can choose.
        ``last/KEY``: the last headline and its epoch. ``commit``, ``seed``, ``tags`` and
        ``versions/LIBRARY``.
    """
    return {
        **_selected(history),
        **_headlines(history),
        **{key: identity[of] for key, of in _OF_RUN.items() if identity.get(of) is not None},
        **{f"versions/{name}": value for name, value in _versions(identity).items()},
        **({"tags": ", ".join(tags)} if tags else {}),
    }


_OF_RUN = {"commit": "git_commit", "seed": "seed"}


def _versions(identity: Mapping[str, Any]) -> dict[str, Any]:
    python = {"python": identity["python"]} if "python" in identity else {}
    return {**identity.get("versions", {}), **python}


def _selected(history: Sequence[Row]) -> dict[str, Any]:
    selected = select_epoch(history)
    if selected is None:
        return {}
    row = next(row for row in history if row["epoch"] == selected["epoch"])
    values = {f"selected/{key}": value for key, value in numbers(row).items()}
    spaces = dict.fromkeys(selected["space"] or [])
    return values | ({f"selected/{SPACE}": ", ".join(spaces)} if spaces else {})


def _headlines(history: Sequence[Row]) -> dict[str, Any]:
    rows = [row for row in history if row.get(HEADLINE) is not None]
    if not rows:
        return {}
    best = max(rows, key=lambda row: row[HEADLINE])
    return {
        f"{name}/{key}": row[key]
        for name, row in (("oracle_best", best), ("last", rows[-1]))
        for key in ("epoch", HEADLINE)
    }


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The entries of a row that are numbers."""
    return {key: value for key, value in row.items() if isinstance(value, (int, float))}
