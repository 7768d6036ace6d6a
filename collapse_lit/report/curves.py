"""The curves of each picture, for the figures and the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collapse_lit.metrics import (
    BY_KEY,
    CEILING,
    FLOOR,
    FOUND,
    HEADLINE,
    NC1,
    PANELS,
    RAW,
    SILHOUETTE,
    STABILITY,
    Metric,
    drawn_in,
    shown_in,
)
from collapse_lit.tracking.run_directory import Row

# Okabe & Ito's colour-blind safe palette, with a lighter blue for dark pages.
BLUE, ORANGE, GREEN, RED, GREY = "#1F83C4", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
IN_TURN = (BLUE, ORANGE, GREEN, RED, GREY)
LOOKS = {  # of the curves of recovery
    CEILING: (GREY, "--"),
    HEADLINE: (BLUE, "-"),
    FOUND: (GREEN, "-"),
    RAW: (ORANGE, "-"),
    FLOOR: (GREY, ":"),
    STABILITY: (BLUE, "-"),
    SILHOUETTE: (GREEN, "-"),
}


@dataclass(frozen=True)
class Curve:
    """One metric of the history by epoch; ``style`` is a line style of matplotlib."""

    key: str
    label: str
    colour: str
    style: str = "-"
    width: float = 1.5

    def points(self, history: Sequence[Row]) -> list[tuple[int, float]]:
        """The pairs (epoch, value) for which the history has a value."""
        known = [row for row in history if row.get(self.key) is not None]
        return [(row["epoch"], row[self.key]) for row in known]


@dataclass(frozen=True)
class Panel:
    """Curves with one axis, "log" or "linear"."""

    title: str
    scale: str
    curves: tuple[Curve, ...]


def recovery_curves(history: Sequence[Row]) -> tuple[Curve, ...]:
    """The curves of recovery: accuracies if there are fine labels, else label-free scores."""
    shown = shown_in("recovery") if _scored(history) else (BY_KEY[STABILITY], BY_KEY[SILHOUETTE])
    return tuple(
        Curve(metric.key, metric.label, *LOOKS.get(metric.key, (RED, "-."))) for metric in shown
    )


def recovery_axis(history: Sequence[Row]) -> str:
    """The axis label of these curves."""
    return "accuracy on fine labels" if _scored(history) else "score"


def _scored(history: Sequence[Row]) -> bool:
    return any(FOUND in row for row in history)


def collapse_panels(history: Sequence[Row]) -> list[Panel]:
    """The panels of collapse for which the history has values."""
    panels = (
        Panel(title, scale, tuple(_curves(drawn_in(title)))) for title, scale in PANELS.items()
    )
    return [panel for panel in panels if any(curve.points(history) for curve in panel.curves)]


def _curves(metrics: Sequence[Metric]) -> Iterator[Curve]:
    """The training and test curves of each measure of collapse, and one curve of other metrics."""
    colours = (IN_TURN[number % len(IN_TURN)] for number in range(len(metrics)))
    for metric, colour in zip(metrics, colours, strict=True):
        split, name = metric.key.split("/")
        if split == "collapse":
            yield Curve(metric.key, f"{metric.label}, train", colour)
            yield Curve(f"collapse_test/{name}", f"{metric.label}, test", colour, "--", 1)
        else:
            yield Curve(metric.key, metric.label, colour, "-.")


ON_THE_RIGHT = Curve(NC1, f"{BY_KEY[NC1].column} (right axis)", RED, "-", 1)
