"""The summary of a run in the terminal."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.metrics import FLOOR, HEADLINE, NC1, RAW, SEPARATION, Metric, shown_in
from collapse_lit.tracking.run_directory import Row, RunDirectory


def print_summary(run: RunDirectory, console: Console | None = None) -> None:
    """Print the first, best and last value of the main measures, and the paths of the files."""
    console = console or Console()
    history = run.read_history()
    if not history:
        console.print(f"Nothing was measured in {run.path}.")
        return
    console.print(summary_table(history))
    selected = select_epoch(history)
    if selected is not None:
        chosen = next(row for row in history if row["epoch"] == selected["epoch"])
        spaces = ", ".join(sorted(set(selected["space"] or [])))
        line = f"Chosen without fine labels: epoch {selected['epoch']}, space {spaces}"
        if chosen.get(HEADLINE) is not None:
            line += f"; recovered on test there: {chosen[HEADLINE]:.4f}"
        console.print(line, highlight=False)
    elif any(row.get(SEPARATION) is not None for row in history):
        console.print(
            "No epoch chosen: in no epoch do two halves of the samples agree on the clusters."
        )
    console.print(f"Report   {run.report}", highlight=False)
    console.print(f"History  {run.history}", highlight=False)
    console.print(f"Figures  {run.figures}", highlight=False)
    if seen := what_was_seen(history[0], history[-1]):
        console.print(f"\n{seen}", highlight=False)
        console.print(
            f"Next: open the report, or name the clusters inside the classes:\n"
            f"  {as_called()} discover --run {run.path} --out {run.path / 'found'}",
            highlight=False,
            soft_wrap=True,
        )


def as_called(name: str = "collapse-lit") -> str:
    """How the user's shell finds this program: by its path if its name leads elsewhere or nowhere.

    ``make train`` calls ``.venv/bin/collapse-lit``, which is not on the ``PATH``.
    """
    called, found = Path(sys.argv[0]), shutil.which(name)
    if called.name != name or (found and Path(found).resolve() == called.resolve()):
        return name
    return str(called)


def what_was_seen(first: Row, last: Row) -> str:
    """The main results in a few sentences; empty without a headline."""
    raw, found, floor = (last.get(key) for key in (RAW, HEADLINE, FLOOR))
    if found is None or floor is None:
        return ""
    said = []
    if first["epoch"] != last["epoch"] and NC1 in first and NC1 in last:
        said.append(f"NC1 went from {four_decimals(first[NC1])} to {four_decimals(last[NC1])}.")
    if raw is not None:
        said.append(f"k-means on the raw features finds the fine class of {raw:.0%} (train).")
    said.append(f"The chosen clusters recover it for {found:.0%} of the test images,")
    said.append(f"random clusters for {floor:.0%}.")
    return " ".join(said)


def summary_table(history: Sequence[Row]) -> Table:
    """The first, best and last value of each measure in the history."""
    first, last = history[0], history[-1]
    table = Table("", f"epoch {first['epoch']}", "best", "at", f"epoch {last['epoch']}")
    for column in table.columns[1:]:
        column.justify = "right"
    for metric in shown_in("summary"):
        known = [row for row in history if row.get(metric.key) is not None]
        if known:
            best = _best(known, metric)
            values = (first.get(metric.key), best[metric.key], last.get(metric.key))
            at_first, at_best, at_last = map(four_decimals, values)
            table.add_row(metric.label, at_first, at_best, str(best["epoch"]), at_last)
    return table


def _best(rows: Sequence[Row], metric: Metric) -> Row:
    better = min if metric.better == "low" else max
    return better(rows, key=lambda row: row[metric.key])


def four_decimals(value: Any) -> str:
    """Format with four decimals, or as a power of ten for tiny values; a dash for no value."""
    if value is None:
        return "–"
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.2e}"
