"""Figures of a run, drawn from its history and snapshots alone."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collapse_lit.tracking.run_directory import Row, write_whole

# Okabe & Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"


def run_figures(
    history: Sequence[Row],
    snapshots: Mapping[int, Mapping[str, np.ndarray]],
    selected: Mapping[str, Any] | None,
) -> Iterator[tuple[str, Figure]]:
    """All figures that the data of a run allow, by name.

    Args:
        history: One row a measured epoch.
        snapshots: Arrays by epoch, as :class:`RunRecorder` keeps them.
        selected: The label-free choice of an epoch, marked in the curves.
    """
    if any("recovery/separation" in row for row in history):
        yield "recovery", recovery_figure(history, selected)
    if any("collapse/nc1" in row for row in history):
        yield "collapse", collapse_figure(history)
    named: Mapping[str, np.ndarray] = snapshots[max(snapshots)] if snapshots else {}
    fine_names, coarse_names = (
        [str(name) for name in named[key]] if key in named else None
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
    """Recovery against epoch, between its floor and its ceiling, with NC1 on a second axis."""
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    curves = [
        ("recovery/probe_test", "ceiling: probe on true fine labels, test", GREY, "--"),
        ("recovery/clp_test", "cluster-and-linear-probe, test", BLUE, "-"),
        ("recovery/acc", "clusters, train", GREEN, "-"),
        ("recovery/acc_raw", "k-means on raw features, train", ORANGE, "-"),
        ("recovery/floor", "floor: random clusters, test", GREY, ":"),
    ]
    if not any("recovery/acc" in row for row in history):
        curves = [
            ("recovery/stability", "stability (label-free)", BLUE, "-"),
            ("recovery/silhouette", "silhouette (label-free)", GREEN, "-"),
        ]
    for key, label, colour, style in curves:
        _curve(axes, history, key, label=label, color=colour, linestyle=style)
    if selected is not None:
        axes.axvline(selected["epoch"], color=RED, linewidth=1, alpha=0.7)
        axes.annotate(
            "chosen epoch\n(label-free)",
            (selected["epoch"], 0.3),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=RED,
        )
    axes.set(xlabel="epoch", ylabel="accuracy on fine labels", ylim=(0, 1.02))
    if "recovery/acc" not in history[-1]:
        axes.set_ylabel("score")
    axes.grid(alpha=0.25)
    collapse = axes.twinx()
    _curve(collapse, history, "collapse/nc1", label="NC1 (right axis)", color=RED, linewidth=1)
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
    """NC1 to NC4 against epoch, on training and test features, coarse and fine."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = [
        ("NC1: within-class variability", ["nc1", "nc1_trace", "cdnv"], "log"),
        ("NC2: equal norms, equal angles", ["nc2_equinorm", "nc2_equiangular", "nc2_etf"], "log"),
        ("NC3: head against class means", ["nc3"], "log"),
        ("NC4: not the nearest class mean", ["nc4"], "linear"),
    ]
    for axes, (title, keys, scale) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for key, colour in zip(keys, (BLUE, ORANGE, GREEN), strict=False):
            _curve(axes, history, f"collapse/{key}", label=f"{key}, train", color=colour)
            _curve(
                axes,
                history,
                f"collapse_test/{key}",
                label=f"{key}, test",
                color=colour,
                linestyle="--",
                linewidth=1,
            )
        if keys[0] == "nc1":
            _curve(
                axes,
                history,
                "collapse_fine/nc1",
                label="nc1 of the fine classes, train",
                color=RED,
                linestyle="-.",
            )
        axes.set(title=title, xlabel="epoch", yscale=scale)
        axes.grid(alpha=0.25)
        if axes.lines:
            axes.legend(fontsize=7)
    figure.suptitle("Neural collapse onto the coarse classes")
    return figure


def distances_figure(
    distances: Mapping[int, np.ndarray], fine_names: Sequence[str] | None = None
) -> Figure:
    """Heat maps of mean squared distances between fine classes: first, middle and last epoch.

    The logarithm shows what the eye should compare: pairs inside a coarse class, ever closer to
    each other but not merged, against pairs across.
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
    """What is left inside each coarse class, coloured by the fine labels it was never told."""
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
    """Write a PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_whole(path, buffer.getvalue())


def _curve(axes: Axes, history: Sequence[Row], key: str, **style: Any) -> None:
    """Draw one metric where the history has it; a point where there is only one epoch."""
    points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, marker="." if len(points) < 30 else None, markersize=4, **style)
