"""Plotly charts for the pages; the page's script sets light or dark colours.

Plotly interprets some HTML in every text, so names must go through ``plain``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from collapse_lit.pages.names import categories, cut, plain

# Okabe & Ito's colour-blind safe palette, legible on light and dark backgrounds.
PALETTE = ("#1F83C4", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A900", "#7F7F7F")
SYMBOLS = ("circle", "x", "diamond", "square", "triangle-up", "cross", "star", "hexagon")
BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
NAMES_SHOWN = 30  # up to this number of classes, an axis names every class


@dataclass(frozen=True)
class Chart:
    """One chart of a page.

    Attributes:
        figure: Plotly's data and layout, in plain types.
        height: height of the chart in pixels.
        label: description for screen readers.
    """

    figure: dict[str, Any]
    height: int
    label: str


def chart(traces: Sequence[Any], layout: dict[str, Any], height: int, label: str) -> Chart:
    """A chart of Plotly traces with small margins."""
    close = {"margin": {"l": 8, "r": 8, "t": 24, "b": 8}, "template": None}
    figure = go.Figure(list(traces), {**close, **layout})
    return Chart(json.loads(figure.to_json()), height, label)


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis whose margin fits its labels."""
    return {"title": {"text": title}, "automargin": True, **more}


def named_axis(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis with one position per name; long names are cut on the axis and shown in full on
    hover.
    """
    if len(names) > NAMES_SHOWN:
        return axis(type="category", showticklabels=False, **more)
    ticks = [plain(cut(name)) for name in names]
    # Use names, because Plotly reads a number in tickvals as a category of that name first, and "5"
    # may be a category.
    places = categories(names)
    return axis(type="category", tickmode="array", tickvals=places, ticktext=ticks, **more)


def scatter(
    xy: np.ndarray,
    groups: Sequence[int],
    names: Mapping[int, str],
    symbols: Sequence[int],
    tips: Sequence[Sequence[Any]],
    label: str,
    ranges: Sequence[Sequence[float] | None] = (None, None),
) -> Chart:
    """Points in a plane, one colour per group.

    Args:
        xy: (n, 2) coordinates of the points.
        groups: number of each point's group.
        names: name of each group in the legend, in the order of their colours.
        symbols: a small number for each point that selects its shape.
        tips: tooltip of each point: its tile in the page's sprite, or -1, and lines of text.
        label: as for :class:`Chart`.
        ranges: from where to where both axes go; by default as far as the points do.
    """
    traces = []
    for place, group in enumerate(names):
        mine = [i for i, of in enumerate(groups) if of == group]
        traces.append(
            go.Scatter(
                x=np.round(xy[mine, 0], 4).tolist(),
                y=np.round(xy[mine, 1], 4).tolist(),
                mode="markers",
                name=plain(cut(names[group], 24)),
                marker={
                    "color": PALETTE[place % len(PALETTE)],
                    "symbol": [SYMBOLS[symbols[i] % len(SYMBOLS)] for i in mine],
                    "size": 7,
                    "opacity": 0.8,
                },
                customdata=[list(tips[i]) for i in mine],
                hoverinfo="none",  # the page shows its own tooltip
            )
        )
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "title": {"text": ""}}
    layout = {
        "xaxis": {**bare, "range": ranges[0]},
        "yaxis": {**bare, "range": ranges[1]},
        "hovermode": "closest",
        "legend": BELOW,
        "showlegend": True,
        "meta": "tips",
    }
    return chart(traces, layout, 320, label)
