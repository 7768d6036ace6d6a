"""A run and its controls in one table and one figure, from their summaries alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from collapse_lit.compare.table import markdown_table, terminal_table
from collapse_lit.metrics import (
    BY_KEY,
    CEILING,
    CHANCE,
    FLOOR,
    HEADLINE,
    INSIDE,
    RAW,
    TEST_ACCURACY,
    columns,
)
from collapse_lit.report.curves import BLUE, GREY, ORANGE, RED
from collapse_lit.report.figures import save_figure
from collapse_lit.report.terminal import four_decimals
from collapse_lit.tracking.run_directory import Row, RunDirectory
from collapse_lit.tracking.whole_files import write_json, write_whole

ABOVE_CHANCE = "above_chance"


def _columns() -> Iterator[tuple[str, str]]:
    for key, title in columns("controls").items():
        yield key, title
        if key == INSIDE:
            yield ABOVE_CHANCE, "above chance"


COLUMNS = dict(_columns())

NOTE = """\
Values of the last epoch. *test acc* is the accuracy of the network's own head on the classes it was
trained on; for *shuffled*, on the true coarse classes. *raw* is k-means on the raw features. For
*recovered, test*, the probe on clusters must name the fine class, and so also the coarse class.
*inside* is the share of right answers among the test images whose coarse class the probe gets
right. *above chance* rescales it: 0 is a uniform guess inside the coarse class, 1 is all right.
*train* matches clusters to fine classes on the training images themselves, so even random clusters
score above chance. *fine* is trained on the fine labels, so it has nothing to recover.
"""


def build_controls(run_dir: Path, meanings: Mapping[str, str], console: Console) -> None:
    """Write ``controls.md``, ``controls.json`` and ``figures/controls.png``; print the table.

    Args:
        run_dir: Directory that holds the controls' run directories.
        meanings: Description of each control by name, in the order of the rows.
        console: Console to print the table on.
    """
    rows = read_controls(run_dir, list(meanings))
    write_json(run_dir / "controls.json", rows)
    said = "".join(f"- *{row['control']}*: {meanings[row['control']]}\n" for row in rows)
    write_whole(run_dir / "controls.md", f"{in_markdown(rows)}\n{said}\n{NOTE}".encode())
    save_figure(controls_figure(rows), run_dir / "figures" / "controls.png")
    console.print(_in_terminal(rows))
    for name in ("controls.md", "controls.json", "figures/controls.png"):
        console.print(run_dir / name, highlight=False)


def read_controls(run_dir: Path, names: Sequence[str]) -> list[Row]:
    """The last epoch of each control that was run, by metric name.

    Returns:
        Rows with ``control``, ``epoch`` and the keys of :data:`COLUMNS`. ``above_chance`` is
        (inside − chance) / (1 − chance). If no coarse class has two fine classes, nothing can be
        recovered and the keys of recovery are None.
    """
    rows = []
    for name in names:
        path = RunDirectory(run_dir / name).summary
        if path.exists():
            rows.append({"control": name, **_comparable(json.loads(path.read_text()))})
    return rows


def _comparable(summary: Row) -> Row:
    row = {key: summary.get(key) for key in ("epoch", *COLUMNS)}
    chance, inside = summary.get(CHANCE), row[INSIDE]
    if chance == 1:
        return {key: None if key.startswith("recovery/") else row[key] for key in row}
    if chance is not None and inside is not None:
        row[ABOVE_CHANCE] = (inside - chance) / (1 - chance)
    return row


def in_markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    return markdown_table(list(COLUMNS.values()), ([row["control"], *_values(row)] for row in rows))


def _in_terminal(rows: Sequence[Row]) -> Table:
    """The transposed table, one measure per line, so that all controls fit 80 columns."""
    values = [_values(row) for row in rows]
    lines = ([title, *line] for title, *line in zip(COLUMNS.values(), *values, strict=True))
    return terminal_table([row["control"] for row in rows], lines)


def _values(row: Row) -> list[str]:
    return [four_decimals(row[key]) for key in COLUMNS]


def controls_figure(rows: Sequence[Row]) -> Figure:
    """One horizontal row per control: floor, raw k-means, recovered, ceiling."""
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    own = [row[TEST_ACCURACY] if row[HEADLINE] is None else None for row in rows]
    shown = [
        (BY_KEY[key].label, [row[key] for row in rows], colour, marker)
        for key, colour, marker in (
            *((FLOOR, GREY, "|"), (CEILING, GREY, "D")),
            *((RAW, ORANGE, "x"), (HEADLINE, BLUE, "o")),
        )
    ]
    for label, values, colour, marker in (
        *shown,
        ("the network's own accuracy, test", own, RED, "*"),
    ):
        known = [(value, place) for place, value in enumerate(values) if value is not None]
        if known:
            axes.plot(*np.transpose(known), marker, color=colour, markersize=8, label=label)
    axes.set_yticks(range(len(rows)), [row["control"] for row in rows])
    axes.set(xlabel="accuracy on fine labels", xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    axes.set_title("Fine classes recovered by the run and its controls")
    return figure
