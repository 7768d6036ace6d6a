"""The last word of a run, in the terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.tracking.run_directory import Row, RunDirectory

# Key, what it is called, and which of its values is the best one.
LINES: Sequence[tuple[str, str, Callable[..., Row]]] = (
    ("train/acc_coarse", "coarse accuracy, train", max),
    ("test/acc_coarse", "coarse accuracy, test", max),
    ("collapse/nc1", "NC1, coarse labels", min),
    ("collapse_fine/nc1", "NC1, fine labels", min),
    ("recovery/acc_raw", "k-means on raw features, train", max),
    ("recovery/acc", "recovered fine classes, train", max),
    ("recovery/clp_test", "recovered fine classes, test", max),
    ("recovery/probe_test", "  ceiling: probe on true fine labels", max),
    ("recovery/floor", "  floor: random clusters", max),
    ("recovery/stability", "stability (label-free)", max),
)


def print_summary(run: RunDirectory, console: Console | None = None) -> None:
    """Print first, best and last value of the main measures, and where the files are."""
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
        if chosen.get("recovery/clp_test") is not None:
            line += f"; recovered on test there: {chosen['recovery/clp_test']:.4f}"
        console.print(line, highlight=False)
    console.print(f"Report   {run.report}", highlight=False)
    console.print(f"History  {run.history}", highlight=False)
    console.print(f"Figures  {run.figures}", highlight=False)


def summary_table(history: Sequence[Row]) -> Table:
    """First, best and last value of each measure that the history has."""
    first, last = history[0], history[-1]
    table = Table("", f"epoch {first['epoch']}", "best", "at", f"epoch {last['epoch']}")
    for column in table.columns[1:]:
        column.justify = "right"
    for key, name, better in LINES:
        known = [row for row in history if row.get(key) is not None]
        if known:
            best = better(known, key=lambda row: row[key])
            values = (number(first.get(key)), number(best[key]), str(best["epoch"]))
            table.add_row(name, *values, number(last.get(key)))
    return table


def number(value: Any) -> str:
    """Four decimals, or a power of ten where these would say little; a dash for no value."""
    if value is None:
        return "–"
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.2e}"
