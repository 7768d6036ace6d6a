"""The charts of a run's page, from its history and snapshots; figures.py draws them as images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from collapse_lit.pages.charts import BELOW, Chart, axis, chart, named_axis
from collapse_lit.pages.names import categories
from collapse_lit.report.curves import (
    ON_THE_RIGHT,
    Curve,
    collapse_panels,
    recovery_axis,
    recovery_curves,
)
from collapse_lit.report.depth import depth_panels
from collapse_lit.report.planes import evenly
from collapse_lit.tracking.run_directory import Row

DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
Matrix = list[list[float | None]]

MOST_EPOCHS = 40  # largest number of epochs in a heat map
MOST_NUMBERS = 400_000  # largest total of numbers in all epochs, to limit the page size


def recovery_chart(history: Sequence[Row], selected: Mapping[str, Any] | None) -> Chart:
    """Recovery by epoch, between its floor and its ceiling, with NC1 on a second axis."""
    traces = [_line(history, curve, "%{y:.3f}") for curve in recovery_curves(history)]
    traces.append(_line(history, ON_THE_RIGHT, "%{y:.3~e}").update(yaxis="y2"))
    layout = {
        "xaxis": axis("epoch"),
        "yaxis": axis(recovery_axis(history), range=[0, 1.02]),
        "yaxis2": axis(
            "NC1", overlaying="y", side="right", showgrid=False, **_logarithmic(traces[-1:])
        ),
        "hovermode": "x unified",
        "hoverdistance": -1,
        "legend": BELOW,
        **({} if selected is None else _marked(selected["epoch"], history)),
    }
    return chart(traces, layout, 480, "recovery and NC1 by epoch")


def collapse_charts(history: Sequence[Row]) -> Iterator[tuple[str, Chart]]:
    """The measures of collapse by epoch, one chart with its title per panel."""
    for panel in collapse_panels(history):
        traces = [_line(history, c, "%{y:.3~g}") for c in panel.curves if c.points(history)]
        layout = {
            "xaxis": axis(),
            "yaxis": axis(
                **(_logarithmic(traces) if panel.scale == "log" else {"rangemode": "tozero"})
            ),
            "hovermode": "x unified",
            "hoverdistance": -1,
            "legend": BELOW,
            "showlegend": True,
        }
        yield panel.title, chart(traces, layout, 360, f"{panel.title}, by epoch")


def depth_charts(history: Sequence[Row]) -> Iterator[tuple[str, Chart]]:
    """The measures by layer, one chart with its title per panel; earlier epochs are lighter."""
    for panel in depth_panels(history):
        places = dict(zip(panel.places, categories(panel.places), strict=True))
        traces = [
            go.Scatter(
                x=[places[place] for place in curve.places],
                y=[float(f"{value:.5g}") for value in curve.values],
                name=curve.label,
                legendgroup=curve.label,
                showlegend=curve.epoch == panel.epochs[-1],
                opacity=curve.opacity,
                line={"color": curve.colour, "dash": DASHES[curve.style]},
                hovertemplate=f"%{{y:.3~g}}<extra>{curve.label}, epoch {curve.epoch}</extra>",
            )
            for curve in panel.curves
        ]
        layout = {
            "xaxis": named_axis(panel.places, categoryarray=list(places.values())),
            "yaxis": axis(
                **(_logarithmic(traces) if panel.scale == "log" else {"range": [0, 1.02]})
            ),
            "legend": BELOW,
            "showlegend": True,
        }
        yield panel.title, chart(traces, layout, 360, f"{panel.title}, by layer")


def distance_frames(
    distances: Mapping[int, np.ndarray], chosen: int | None
) -> tuple[dict[str, Any], int]:
    """Class distances of some epochs for the slider, and the epoch shown first.

    Returns:
        ``epochs``, ``chosen``, ``frames`` ((F, F) lists of log₁₀ of distance² / median of that
        epoch), and the position of the chosen epoch, or of the last epoch.
    """
    known = sorted(distances)
    most = min(MOST_EPOCHS, max(2, MOST_NUMBERS // distances[known[-1]].size))
    first = known[-1] if chosen is None or chosen not in distances else chosen
    epochs = evenly(known, most, first)
    frames = [_relative(distances[epoch]) for epoch in epochs]
    return {"epochs": epochs, "chosen": chosen, "frames": frames}, epochs.index(first)


def coarse_order(points: Mapping[str, np.ndarray], classes: int) -> np.ndarray:
    """(F,) fine classes in the order of their coarse classes; fine classes without samples come
    last.
    """
    coarse = np.full(classes, np.iinfo(np.int64).max)
    known = (points["fine"] >= 0) & (points["fine"] < classes)
    coarse[points["fine"][known]] = points["coarse"][known]
    return np.argsort(coarse, kind="stable")


def _relative(matrix: np.ndarray) -> Matrix:
    finite = matrix[np.isfinite(matrix) & (matrix > 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(matrix / (np.median(finite) if finite.size else 1.0))
    return [[round(v, 3) if np.isfinite(v) else None for v in row] for row in logs.tolist()]


def distance_chart(frames: Sequence[Matrix], shown: int, names: Sequence[str]) -> Chart:
    """A heat map of one epoch's class distances, on a scale common to all epochs."""
    known = [value for frame in frames for row in frame for value in row if value is not None]
    names_once = categories(names)
    heat = go.Heatmap(
        z=frames[shown],
        x=names_once,
        y=names_once,
        zmin=min(known, default=0),
        zmax=max(known, default=1),
        colorscale="Viridis",
        hoverongaps=False,
        colorbar={"thickness": 12, "title": {"text": "log₁₀", "side": "top"}},
        hovertemplate="%{y} – %{x}<br>log₁₀ of distance² / median: %{z:.2f}<extra></extra>",
    )
    layout = {
        "xaxis": named_axis(names, showgrid=False, tickangle=-60),
        "yaxis": named_axis(names, showgrid=False, autorange="reversed"),
    }
    return chart([heat], layout, 460, "mean squared distances between fine classes")


def _line(history: Sequence[Row], curve: Curve, number: str) -> go.Scatter:
    points = curve.points(history)
    return go.Scatter(
        x=[epoch for epoch, _ in points],
        y=[float(f"{value:.5g}") for _, value in points],
        name=curve.label,
        mode="lines+markers" if len(points) < 60 else "lines",
        marker={"size": 4},
        line={"color": curve.colour, "dash": DASHES[curve.style], "width": 1.4 * curve.width},
        hovertemplate=f"{number}<extra>{curve.label}</extra>",
    )


def _logarithmic(traces: Sequence[go.Scatter]) -> dict[str, Any]:
    """A logarithmic axis with ticks at 1, 2 and 5, or only at powers of ten for many decades."""
    values = [value for trace in traces for value in trace.y if value > 0]
    decades = np.log10(max(values) / min(values)) if values else 0
    look = {"type": "log", "tickformat": "~g", "zeroline": False}
    if 0.7 < decades < 8:
        return {**look, "tickmode": "linear", "dtick": "D2" if decades < 3 else 1}
    return {**look, "tickmode": "auto"}


def _marked(epoch: int, history: Sequence[Row]) -> dict[str, Any]:
    """A line at the chosen epoch, labelled on the side with more room."""
    late = epoch > (history[0]["epoch"] + history[-1]["epoch"]) / 2
    line = {"type": "line", "line": {"dash": "dash", "width": 1.5}}
    upright = {"x0": epoch, "x1": epoch, "yref": "paper", "y0": 0, "y1": 1}
    text = {"text": f"chosen: epoch {epoch}", "x": epoch, "yref": "paper", "y": 1}
    where = {"yanchor": "bottom", "xanchor": "right" if late else "left", "showarrow": False}
    return {"shapes": [line | upright], "annotations": [{**text, **where}]}
