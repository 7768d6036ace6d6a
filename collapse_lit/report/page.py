"""``report.html``: one self-contained page about a run."""

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from collapse_lit.errors import UserError
from collapse_lit.measure.selection import select_epoch
from collapse_lit.report.figures import run_figures, save_figure
from collapse_lit.report.terminal import LINES
from collapse_lit.tracking.run_directory import RunDirectory, write_whole

CAPTIONS = {
    "recovery": "How well the hidden fine classes are found, between floor and ceiling.",
    "collapse": "How far the features have collapsed onto the coarse classes.",
    "distances": "How far fine classes are from each other: first, middle and last snapshot.",
    "residuals": "What is left inside each coarse class at the chosen epoch.",
}


def build_report(run_dir: str | Path) -> Path:
    """Redraw all figures of a run and write its page; returns the page's path.

    Raises:
        UserError: There is no run with a history in ``run_dir``.
    """
    run = RunDirectory(run_dir)
    history = run.read_history()
    if not history:
        raise UserError(
            f"{run.path} is no run directory with measured epochs: there is no {run.history.name} "
            "with a line in it"
        )
    selected = select_epoch(history)
    figures = []
    for name, figure in run_figures(history, run.read_snapshots(), selected):
        path = run.figures / f"{name}.png"
        save_figure(figure, path)
        encoded = base64.b64encode(path.read_bytes()).decode()
        figures.append({"name": name, "caption": CAPTIONS[name], "png": encoded})
    template = Environment(
        loader=PackageLoader("collapse_lit.report"), autoescape=True
    ).get_template("run.html.jinja")
    page = template.render(
        name=run.path.name,
        identity=_read_json(run.identity),
        config=run.config.read_text() if run.config.exists() else "",
        first=history[0],
        last=history[-1],
        lines=[(key, title) for key, title, _ in LINES if key in history[-1]],
        selected=selected,
        chosen=next((r for r in history if selected and r["epoch"] == selected["epoch"]), None),
        figures=figures,
    )
    write_whole(run.report, page.encode())
    return run.report


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}
