"""The cells of a grid: one table, one heat map, from their histories alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from collapse_lit.measure.choice import choice_score
from collapse_lit.measure.selection import select_epoch
from collapse_lit.report.figures import RED, save_figure
from collapse_lit.report.terminal import number
from collapse_lit.tracking.run_directory import Row, RunDirectory, write_json, write_whole

SWEEP = "sweep.yaml"  # beside the cells: what the grid is of
COLUMNS: Sequence[tuple[str, str]] = (
    ("epoch", "epoch"),
    ("test/acc_coarse", "coarse, test"),
    ("collapse/nc1", "NC1"),
    ("recovery/acc_raw", "raw, train"),
    ("recovery/acc", "recovered, train"),
    ("recovery/floor", "floor, test"),
    ("recovery/clp_test", "recovered, test"),
    ("recovery/probe_test", "ceiling, test"),
    ("score", "label-free score"),
)
MARKS = {"chosen": "●", "best": "★"}
NOTE = """\
Each cell at the epoch chosen without fine labels. ● the cell chosen by the same rule, (separation +
0.186) × stability, without fine labels; ★ the cell in which most is recovered on the test set,
which only fine labels can tell.
"""


def build_grid(run_dir: Path, names: Sequence[str]) -> None:
    """Write ``grid.md``, ``grid.json`` and ``figures/grid.png``; print the table.

    Args:
        run_dir: Where the cells' run directories are, and the sweep's file.
        names: The cells in the order of the rows.
    """
    console, rows = Console(), read_cells(run_dir, names)
    if not rows:
        console.print(f"Nothing was measured below {run_dir} yet.", highlight=False)
        return
    write_json(run_dir / "grid.json", rows)
    write_whole(run_dir / "grid.md", f"{markdown_table(rows)}\n{NOTE}".encode())
    written = ["grid.md", "grid.json"]
    values = yaml.safe_load((run_dir / SWEEP).read_text())["parameters"]
    axes = {option: parameter["values"] for option, parameter in values.items()}
    if len(axes) == 2 and any(row["recovery/clp_test"] is not None for row in rows):
        save_figure(grid_figure(rows, names, axes), run_dir / "figures" / "grid.png")
        written.append("figures/grid.png")
    console.print(terminal_table(rows))
    console.print("● chosen without fine labels  ★ most recovered on test", highlight=False)
    if len(rows) < len(names):
        console.print(f"{len(rows)} of {len(names)} cells have been measured", highlight=False)
    for name in written:
        console.print(str(run_dir / name), highlight=False, soft_wrap=True)


def read_cells(run_dir: Path, names: Sequence[str]) -> list[Row]:
    """The measured cells, each at its epoch chosen without fine labels.

    Returns:
        Rows with ``cell``, the keys of :data:`COLUMNS` (None where there is no such measure), and
        whether the cell is ``chosen`` and ``best``; one is each, where its measure is there.
    """
    rows = []
    for name in names:
        history = RunDirectory(run_dir / name).read_history()
        if history:
            rows.append({"cell": name, **_comparable(history)})
    for mark, key in (("chosen", "score"), ("best", "recovery/clp_test")):
        known = [row for row in rows if row[key] is not None]
        first = max(known, key=lambda row: row[key]) if known else None
        for row in rows:
            row[mark] = row is first
    return rows


def _comparable(history: Sequence[Row]) -> Row:
    selected = select_epoch(history)
    if selected is None:
        return {key: history[-1].get(key) for key, _ in COLUMNS}
    row = next(row for row in history if row["epoch"] == selected["epoch"])
    score = choice_score(row["recovery/separation"], row.get("recovery/stability", 1.0))
    return {**{key: row.get(key) for key, _ in COLUMNS}, "score": score}


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [["", *(title for _, title in COLUMNS)], ["---", *["---:"] * len(COLUMNS)]]
    lines += [[_marked(row), *_values(row)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def terminal_table(rows: Sequence[Row]) -> Table:
    """The rows with the measures that decide."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = ("test/acc_coarse", "collapse/nc1", "recovery/clp_test", "recovery/probe_test", "score")
    table.add_column("cell", no_wrap=True)
    for key, title in COLUMNS:
        if key in shown:
            table.add_column(title, justify="right")
    for row in rows:
        table.add_row(_marked(row), *(number(row[key]) for key, _ in COLUMNS if key in shown))
    return table


def _marked(row: Row) -> str:
    return " ".join([row["cell"], *(mark for key, mark in MARKS.items() if row[key])])


def _values(row: Row) -> list[str]:
    return [str(row[key]) if key == "epoch" else number(row[key]) for key, _ in COLUMNS]


def grid_figure(
    rows: Sequence[Row], names: Sequence[str], axes: Mapping[str, Sequence[Any]]
) -> Figure:
    """Recovered on the test set as a heat map over the two options of ``axes``, beside the
    label-free score; both choices marked in both.
    """
    (down, downs), (across, acrosses) = axes.items()
    by_name = {row["cell"]: row for row in rows}
    cells = [by_name.get(name) for name in names]  # the second option runs first
    figure = Figure(figsize=(9, 1.6 + 0.8 * len(downs)), layout="constrained")
    panels = (("recovery/clp_test", "recovered, test"), ("score", "label-free score"))
    for plot, (key, title) in zip(figure.subplots(1, 2), panels, strict=True):
        known = [np.nan if cell is None or cell[key] is None else cell[key] for cell in cells]
        values = np.array(known, dtype=float).reshape(len(downs), len(acrosses))
        image = plot.imshow(values, cmap="viridis", aspect="auto")
        figure.colorbar(image, ax=plot)
        for place, cell in enumerate(cells):
            if cell is None:
                continue
            y, x = divmod(place, len(acrosses))
            marks = "".join(mark for name, mark in MARKS.items() if cell[name])
            text = plot.text(
                x, y, f"{number(cell[key])} {marks}".strip(), ha="center", va="center", color="w"
            )
            text.set_bbox({"facecolor": RED if marks else "k", "alpha": 0.55, "lw": 0, "pad": 2})
        plot.set_xticks(range(len(acrosses)), [str(value) for value in acrosses])
        plot.set_yticks(range(len(downs)), [str(value) for value in downs])
        plot.set(xlabel=across.split(".")[-1].replace("_", " "), ylabel=down.split(".")[-1])
        plot.set_title(title)
    figure.suptitle("● chosen without fine labels   ★ most recovered on test", fontsize=10)
    return figure
