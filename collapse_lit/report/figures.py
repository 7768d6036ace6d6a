"""Figures of a run, drawn from its history and snapshots alone."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collapse_lit.metrics import NC1, SEPARATION
from collapse_lit.pages.names import plain_for_paper
from collapse_lit.report.curves import (
    ON_THE_RIGHT,
    RED,
    Curve,
    collapse_panels,
    recovery_axis,
    recovery_curves,
)
from collapse_lit.report.depth import DepthPanel, depth_panels
from collapse_lit.tracking.run_directory import Row
from collapse_lit.tracking.whole_files import write_whole


def run_figures(
    history: Sequence[Row],
    snapshots: Mapping[int, Mapping[str, np.ndarray]],
    selected: Mapping[str, Any] | None,
) -> Iterator[tuple[str, Figure]]:
    """All figures that the data of a run allow, by name.

    Args:
        history: One row per measured epoch.
        snapshots: Arrays by epoch, as :class:`RunRecorder` writes them.
        selected: The label-free choice of an epoch, which the curves mark.
    """
    if any(SEPARATION in row for row in history):
        yield "recovery", recovery_figure(history, selected)
    if any(NC1 in row for row in history):
        yield "collapse", collapse_figure(history)
    if panels := depth_panels(history):
        yield "depth", depth_figure(panels)
    named: Mapping[str, np.ndarray] = snapshots[max(snapshots)] if snapshots else {}
    fine_names, coarse_names = (
        [plain_for_paper(str(name)) for name in named[key]] if key in named else None
        for key in ("fine_names", "coarse_names")
    )
    distances = {e: s["class_distances"] for e, s in snapshots.items() if "class_distances" in s}
    if distances:
        yield "distances", distances_figure(distances, fine_names)
    scatters = {epoch: s for epoch, s in snapshots.items() if "xy" in s}
    if scatters:
        chosen = selected["epoch"] if selected and selected["epoch"] in scatters else max(scatters)
        yield "residuals", residuals_figure(scatters[chosen], chosen, fine_names, coarse_names)


def recovery_figure(history: Sequence[Row], selected: Mapping[str, Any] | None) -> Figure:
    """Recovery by epoch, between its floor and its ceiling, with NC1 on a second axis."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for curve in recovery_curves(history):
        _draw(axes, history, curve)
    if selected is not None:
        axes.axvline(selected["epoch"], color=RED, linewidth=1, alpha=0.7)
        late = 2 * selected["epoch"] > history[0]["epoch"] + history[-1]["epoch"]
        axes.annotate(  # on the side with more room
            "chosen epoch\n(label-free)",
            (selected["epoch"], 0.3),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if late else 4, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=8,
            color=RED,
        )
    axes.set(xlabel="epoch", ylabel=recovery_axis(history), ylim=(0, 1.02))
    axes.grid(alpha=0.25)
    collapse = axes.twinx()
    _draw(collapse, history, ON_THE_RIGHT)
    collapse.set(yscale="log", ylabel="NC1, coarse labels")
    handles, labels = axes.get_legend_handles_labels()
    more_handles, more_labels = collapse.get_legend_handles_labels()
    figure.legend(
        handles + more_handles,
        labels + more_labels,
        loc="outside lower center",
        ncols=2,
        fontsize=8,
    )
    axes.set_title("Fine classes recovered from features trained on coarse labels")
    return figure


def collapse_figure(history: Sequence[Row]) -> Figure:
    """The measures of collapse by epoch, on training and test features, coarse and fine."""
    panels = collapse_panels(history)
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(9, 3 * rows), layout="constrained")
    grid = iter(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        for curve in panel.curves:
            _draw(axes, history, curve)
        positive = any(y > 0 for line in axes.lines for y in line.get_ydata())
        axes.set(title=panel.title, xlabel="epoch", yscale=panel.scale if positive else "linear")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    for axes in grid:
        axes.set_visible(False)
    figure.suptitle("Neural collapse onto the coarse classes")
    return figure


def depth_figure(panels: Sequence[DepthPanel]) -> Figure:
    """Recovery and NC1 by layer, in order of depth."""
    figure = Figure(figsize=(4.8 * len(panels), 4.4), layout="constrained")
    for axes, panel in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True
    ):
        axes.set_xticks(
            range(len(panel.places)),
            [plain_for_paper(place) for place in panel.places],
            rotation=30,
            ha="right",
            fontsize=8,
        )
        for curve in panel.curves:
            axes.plot(
                [panel.places.index(place) for place in curve.places],
                curve.values,
                marker=".",
                label=curve.label if curve.epoch == panel.epochs[-1] else None,
                color=curve.colour,
                linestyle=curve.style,
                alpha=curve.opacity,
            )
        axes.set(title=panel.title, yscale=panel.scale)
        if panel.scale == "linear":
            axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    *earlier, last = panels[0].epochs
    others = f"; lighter: {', '.join(map(str, earlier))}" if earlier else ""
    figure.suptitle(f"By layer, from the input to the features, at epoch {last}{others}")
    return figure


def distances_figure(
    distances: Mapping[int, np.ndarray], fine_names: Sequence[str] | None = None
) -> Figure:
    """Heat maps of mean squared distances between fine classes: first, middle and last epoch.

    The logarithm shows both scales: pairs inside a coarse class, which approach each other without
    merging, and pairs across coarse classes.
    """
    epochs = sorted(distances)
    shown = sorted({epochs[0], epochs[len(epochs) // 2], epochs[-1]})
    figure = Figure(figsize=(1 + 4.2 * len(shown), 4.8), layout="constrained")
    for axes, epoch in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        matrix = distances[epoch]
        relative = matrix / np.median(matrix[np.isfinite(matrix)])
        image = axes.imshow(np.log10(relative), cmap="viridis")
        names = fine_names or [str(fine) for fine in range(len(matrix))]
        if len(names) <= 25:
            axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
            axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(f"epoch {epoch}")
        figure.colorbar(image, ax=axes, shrink=0.75, label="log₁₀ of distance² / median")
    figure.suptitle("Mean squared distance between the features of two fine classes, train")
    return figure


def residuals_figure(
    points: Mapping[str, np.ndarray],
    epoch: int,
    fine_names: Sequence[str] | None = None,
    coarse_names: Sequence[str] | None = None,
) -> Figure:
    """The residuals inside each coarse class, coloured by the hidden fine labels."""
    coarse_classes = np.unique(points["coarse"])
    columns = min(5, len(coarse_classes))
    rows = -(-len(coarse_classes) // columns)
    figure = Figure(figsize=(3.2 * columns, 0.8 + 3 * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).flat
    hidden = points["fine"] if (points["fine"] >= 0).all() else points["cluster"]
    for axes, coarse in zip(grid, coarse_classes, strict=False):
        inside = points["coarse"] == coarse
        classes = np.unique(hidden[inside])
        colours = [colormaps["tab10"](i % 10) for i in range(len(classes))]
        for colour, fine in zip(colours, classes, strict=True):
            x, y = points["xy"][inside & (hidden == fine)].T
            name = fine_names[fine] if fine_names and hidden is points["fine"] else str(fine)
            axes.scatter(x, y, s=9, alpha=0.6, color=colour, linewidths=0, label=name)
        title = coarse_names[coarse] if coarse_names else f"coarse class {coarse}"
        space = points["space"][coarse] if "space" in points else ""
        axes.set_title(f"{title}\n{space}", fontsize=9)
        axes.set(xticks=[], yticks=[])
        if len(classes) <= 10:
            axes.legend(fontsize=7, markerscale=2)
    for axes in list(grid):
        axes.set_visible(False)
    coloured = "hidden fine class" if hidden is points["fine"] else "cluster"
    figure.suptitle(
        f"Residual training features in each coarse class at epoch {epoch}, coloured by {coloured}"
    )
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, completely or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_whole(path, buffer.getvalue())


def _draw(axes: Axes, history: Sequence[Row], curve: Curve) -> None:
    """Draw the known values of one metric; a point if there is only one epoch."""
    points = curve.points(history)
    if points:
        axes.plot(
            *zip(*points, strict=True),
            marker="." if len(points) < 30 else None,
            markersize=4,
            label=curve.label,
            color=curve.colour,
            linestyle=curve.style,
            linewidth=curve.width,
        )
