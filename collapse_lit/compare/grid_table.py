"""Compare the cells of a grid in one table, one heat map and one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from collapse_lit.compare.grid_page import write_grid_page
from collapse_lit.compare.grid_rows import COLUMNS, MARKS, NOTE, marks, read_cells, texts
from collapse_lit.compare.table import markdown_table, terminal_table
from collapse_lit.metrics import HEADLINE, shown_in
from collapse_lit.report.curves import RED
from collapse_lit.report.figures import save_figure
from collapse_lit.report.terminal import four_decimals
from collapse_lit.tracking.run_directory import Row
from collapse_lit.tracking.whole_files import write_json, write_whole

SWEEP = "sweep.yaml"  # the sweep file, beside the cells


def build_grid(run_dir: Path, names: Sequence[str]) -> None:
    """Write ``grid.md``, ``grid.json``, ``figures/grid.png`` and ``report.html``; print the table.

    Args:
        run_dir: Directory that holds the cells' run directories and the sweep file.
        names: The cells in the order of the rows.
    """
    console, rows = Console(), read_cells(run_dir, names)
    if not rows:
        console.print(f"Nothing was measured below {run_dir} yet.", highlight=False)
        return
    write_json(run_dir / "grid.json", rows)
    write_whole(run_dir / "grid.md", f"{in_markdown(rows)}\n{NOTE}".encode())
    written = ["grid.md", "grid.json"]
    values = yaml.safe_load((run_dir / SWEEP).read_text())["parameters"]
    axes = {option: parameter["values"] for option, parameter in values.items()}
    if len(axes) == 2 and any(row[HEADLINE] is not None for row in rows):
        save_figure(grid_figure(rows, names, axes), run_dir / "figures" / "grid.png")
        written.append("figures/grid.png")
    write_grid_page(run_dir, rows, names, axes)
    written.append("report.html")
    console.print(_in_terminal(rows))
    console.print("● chosen without fine labels  ★ highest recovery on test", highlight=False)
    if len(rows) < len(names):
        console.print(f"{len(rows)} of {len(names)} cells have been measured", highlight=False)
    for name in written:
        console.print(str(run_dir / name), highlight=False, soft_wrap=True)


def in_markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    return markdown_table(list(COLUMNS.values()), ([_marked(row), *texts(row)] for row in rows))


def _in_terminal(rows: Sequence[Row]) -> Table:
    """The rows with the measures that matter for the choice."""
    shown = {key: COLUMNS[key] for key in (*(m.key for m in shown_in("grid in terminal")), "score")}
    lines = ([_marked(row), *(four_decimals(row[key]) for key in shown)] for row in rows)
    return terminal_table(list(shown.values()), lines, first="cell")


def _marked(row: Row) -> str:
    return " ".join([row["cell"], *(mark for key, mark in MARKS.items() if row[key])])


def grid_figure(
    rows: Sequence[Row], names: Sequence[str], axes: Mapping[str, Sequence[Any]]
) -> Figure:
    """Heat maps of the recovery on the test set and of the label-free score over the two options of
    ``axes``; both heat maps mark both choices.
    """
    (down, downs), (across, acrosses) = axes.items()
    by_name = {row["cell"]: row for row in rows}
    cells = [by_name.get(name) for name in names]  # the second option varies fastest
    figure = Figure(figsize=(9, 1.6 + 0.8 * len(downs)), layout="constrained")
    for plot, key in zip(figure.subplots(1, 2), (HEADLINE, "score"), strict=True):
        known = [np.nan if cell is None or cell[key] is None else cell[key] for cell in cells]
        values = np.array(known, dtype=float).reshape(len(downs), len(acrosses))
        image = plot.imshow(values, cmap="viridis", aspect="auto")
        figure.colorbar(image, ax=plot)
        for place, cell in enumerate(cells):
            if cell is None:
                continue
            y, x = divmod(place, len(acrosses))
            text = plot.text(
                x,
                y,
                f"{four_decimals(cell[key])} {marks(cell)}".strip(),
                ha="center",
                va="center",
                color="w",
            )
            text.set_bbox(
                {"facecolor": RED if marks(cell) else "k", "alpha": 0.55, "lw": 0, "pad": 2}
            )
        plot.set_xticks(range(len(acrosses)), [str(value) for value in acrosses])
        plot.set_yticks(range(len(downs)), [str(value) for value in downs])
        plot.set(xlabel=across.split(".")[-1].replace("_", " "), ylabel=down.split(".")[-1])
        plot.set_title(COLUMNS[key])
    figure.suptitle("● chosen without fine labels   ★ highest recovery on test", fontsize=10)
    return figure
