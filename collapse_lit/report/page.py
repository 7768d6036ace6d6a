"""``report.html`` of a run: one self-contained page, from the run directory alone."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from collapse_lit.errors import UserError
from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.metrics import CEILING, FLOOR, HEADLINE, SEPARATION, shown_in
from collapse_lit.pages import Sprite, write_page
from collapse_lit.report.figures import run_figures, save_figure
from collapse_lit.tracking.run_directory import Row, RunDirectory

Snapshots = Mapping[int, Mapping[str, np.ndarray]]


def build_report(run_dir: str | Path) -> Path:
    """Redraw all figures of a run and write its page; return the page's path.

    Raises:
        UserError: There is no run with a history in ``run_dir``.
    """
    run = RunDirectory(run_dir)
    history = run.read_history()
    if not history:
        raise UserError(
            f"{run.path} is not a run directory with measured epochs: {run.history.name} is "
            "missing or empty"
        )
    selected, snapshots = select_epoch(history), run.read_snapshots()
    for name, figure in run_figures(history, snapshots, selected):
        save_figure(figure, run.figures / f"{name}.png")
    sprite = _thumbnails(run)
    charts = _charts(history, snapshots, selected, sprite)
    values = {**_words(run, history, selected), **charts, "sprite": sprite}
    write_page(run.report, "collapse_lit.report", "run.html.jinja", values)
    return run.report


def _thumbnails(run: RunDirectory) -> Sprite | None:
    kept = run.read_thumbnails()
    try:
        return None if kept is None else Sprite.from_arrays(kept)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"run_dir: {run.thumbnails} is not a file of thumbnails; remove it to draw the page "
            "without it"
        ) from error


def _charts(
    history: Sequence[Row],
    snapshots: Snapshots,
    selected: Mapping[str, Any] | None,
    sprite: Sprite | None,
) -> dict[str, Any]:
    """The charts of the page; None or empty if the data do not allow them."""
    from collapse_lit.report import charts  # importing Plotly takes a second
    from collapse_lit.report.residuals import residuals

    named = snapshots[max(snapshots)] if snapshots else {}
    fine_names, coarse_names = (
        [str(name) for name in named[key]] if key in named else None
        for key in ("fine_names", "coarse_names")
    )
    chosen = selected["epoch"] if selected else None
    distances = {e: s["class_distances"] for e, s in snapshots.items() if "class_distances" in s}
    scatters = {epoch: s for epoch, s in snapshots.items() if "xy" in s}
    scatter_epoch = chosen if chosen in scatters else max(scatters, default=None)
    found: dict[str, Any] = {
        "coarse_names": coarse_names,
        "fine_names": fine_names,
        "recovery": None,
        "collapse": list(charts.collapse_charts(history)),
        "depth": list(charts.depth_charts(history)),
        "distances": None,
        "residuals": None,
    }
    if any(SEPARATION in row for row in history):
        found["recovery"] = charts.recovery_chart(history, selected)
    if distances:
        names = fine_names or [str(fine) for fine in range(len(distances[max(distances)]))]
        if scatters:
            order = charts.coarse_order(scatters[max(scatters)], len(names))
            names = [names[fine] for fine in order]
            distances = {epoch: d[np.ix_(order, order)] for epoch, d in distances.items()}
        frames, shown = charts.distance_frames(distances, chosen)
        heat_map = charts.distance_chart(frames["frames"], shown, names)
        found["distances"] = {"chart": heat_map, "frames": frames, "shown": shown}
    if scatter_epoch is not None:
        found["residuals"] = residuals(
            scatters, scatter_epoch, chosen, fine_names, coarse_names, sprite
        )
    return found


def _words(
    run: RunDirectory, history: Sequence[Row], selected: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The texts and numbers of the page."""
    identity = _read_json(run.identity)
    config = run.config.read_text() if run.config.exists() else ""
    chosen = next((r for r in history if selected and r["epoch"] == selected["epoch"]), None)
    return {
        "name": run.path.resolve().name,
        "identity": identity,
        "facts": _facts(config, identity),
        "config": config,
        "first": history[0],
        "last": history[-1],
        "lines": [(m.key, m.label) for m in shown_in("summary") if m.key in history[-1]],
        "headline": {
            name: chosen.get(key) if chosen else None
            for name, key in (("recovered", HEADLINE), ("floor", FLOOR), ("ceiling", CEILING))
        },
        "selected": selected,
        "spaces": sorted(set(selected["space"] or [])) if selected else [],
        "chosen": chosen,
        "measured": len(history),
        "clustered": (run.path / "clusters.csv").exists(),
        "discover": discover_command(run.path) if (run.path / "features.npy").exists() else None,
    }


def discover_command(folder: Path) -> str:
    """The command ``discover`` for the features in a folder."""
    features, labels, out = (
        shlex.quote(str(folder / name)) for name in ("features.npy", "labels.csv", "found")
    )
    return f"collapse-lit discover --features {features} --labels {labels} --out {out}"


def _facts(config: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Facts about the run, from its files."""
    try:
        options = yaml.safe_load(config) or {}
    except yaml.YAMLError:
        options = {}
    data, model = (
        ({}, {})
        if not isinstance(options, dict)
        else (
            options.get("data") or {},
            options.get("model") or {},
        )
    )
    held_out = data.get("validation")
    facts = {
        "data": data.get("source"),
        "network": model.get("backbone"),
        "test set": f"{held_out} training images held out" if held_out else None,
        "started": identity.get("started"),
        "seed": identity.get("seed"),
        "commit": identity.get("git_commit"),
        "GPU": ", ".join(dict.fromkeys(identity.get("gpus", []))) or None,
        "W&B run": identity.get("wandb_id"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}
