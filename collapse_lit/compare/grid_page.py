"""``report.html`` of a grid: its table and heat maps, with links to the cells' pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from collapse_lit.compare.grid_rows import COLUMNS, MARKS, NOTE, marks, texts
from collapse_lit.metrics import HEADLINE
from collapse_lit.pages import write_page
from collapse_lit.pages.names import categories, plain
from collapse_lit.tracking.run_directory import Row, RunDirectory

CHARTED = (HEADLINE, "score")


def write_grid_page(
    run_dir: Path, rows: Sequence[Row], names: Sequence[str], axes: Mapping[str, Sequence[Any]]
) -> None:
    """Write the page.

    Args:
        run_dir: Directory that holds the cells' run directories.
        rows: Results of the measured cells.
        names: All cells; the second option varies fastest.
        axes: The values of each option; heat maps are drawn for exactly two options.
    """
    links = {row["cell"]: _link(run_dir, row["cell"]) for row in rows}
    values = {
        "name": run_dir.resolve().name,
        "rows": rows,
        "links": links,
        "titles": list(COLUMNS.values()),
        "cells": {row["cell"]: texts(row) for row in rows},
        "marks": {row["cell"]: marks(row) for row in rows},
        "chosen": next((row for row in rows if row["chosen"]), None),
        "best": next((row for row in rows if row["best"]), None),
        "total": len(names),
        "note": NOTE,
        "headline": HEADLINE,
        "heat_maps": list(_heat_maps(rows, names, axes, links)) if len(axes) == 2 else [],
        "sprite": None,
    }
    write_page(run_dir / "report.html", "collapse_lit.compare", "grid.html.jinja", values)


def _link(run_dir: Path, cell: str) -> str | None:
    """Link from the grid's page to the cell's page; None if the cell has no page."""
    return f"./{quote(cell)}/report.html" if RunDirectory(run_dir / cell).report.exists() else None


def _heat_maps(
    rows: Sequence[Row],
    names: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    links: Mapping[str, str | None],
) -> Any:
    """A chart with its title for each of :data:`CHARTED` that any cell has."""
    import plotly.graph_objects as go

    from collapse_lit.pages.charts import axis, chart, named_axis

    (down, downs), (across, acrosses) = ((key, [str(v) for v in axes[key]]) for key in axes)
    by_name = {row["cell"]: row for row in rows}
    nothing = dict.fromkeys((*MARKS, *CHARTED))
    table = [by_name.get(name, nothing) for name in names]

    def turned(values: Sequence[Any]) -> list[list[Any]]:
        return [list(values[i : i + len(acrosses)]) for i in range(0, len(values), len(acrosses))]

    for key in CHARTED:
        title, values = COLUMNS[key], [row[key] for row in table]
        if all(value is None for value in values):
            continue
        texts = ["" if row[key] is None else f"{row[key]:.3f} {marks(row)}" for row in table]
        heat = go.Heatmap(
            z=turned(values),
            x=categories(acrosses),
            y=categories(downs),
            text=turned(texts),
            texttemplate="%{text}",
            textfont={"size": 14},
            customdata=turned([links.get(name) for name in names]),
            colorscale="Viridis",
            hoverongaps=False,
            colorbar={"thickness": 12},
            hovertemplate=f"{plain(down)} %{{y}}<br>{plain(across)} %{{x}}<br>"
            f"{title}: %{{z:.4f}}<extra></extra>",
        )
        layout = {
            "xaxis": named_axis(acrosses, showgrid=False)
            | {"title": axis(plain(across.split(".")[-1].replace("_", " ")))["title"]},
            "yaxis": named_axis(downs, showgrid=False, autorange="reversed")
            | {"title": axis(plain(down.split(".")[-1].replace("_", " ")))["title"]},
            "meta": "links",
        }
        yield title, chart([heat], layout, 360, f"{title}, by {down} and {across}")
