"""The curves of measures by depth, for the figures and the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collapse_lit.layer_metrics import OF_LAYERS
from collapse_lit.metrics import CEILING, FOUND, HEADLINE, NC1, NC1_FINE, STABILITY
from collapse_lit.report.curves import BLUE, GREEN, GREY, ORANGE, RED
from collapse_lit.tracking.run_directory import Row

FEATURES = "features"  # the deepest place: the input of the last layer
LABELS = {metric.key: metric.label for metric in OF_LAYERS}
OPACITIES = (0.25, 0.5, 1.0)  # of an early, a middle and the last epoch

# Of each panel: its axis, and by key of a layer the key of the features, a colour and a style.
PANELS = {
    "Fine classes": (
        "linear",
        {
            "recovery_layers/PATH/probe_test": (CEILING, GREY, "--"),
            "recovery_layers/PATH/clp_test": (HEADLINE, BLUE, "-"),
            "recovery_layers/PATH/acc": (FOUND, GREEN, "-"),
            "recovery_layers/PATH/stability": (STABILITY, ORANGE, ":"),
        },
    ),
    "NC1": (
        "log",
        {
            "collapse_layers/PATH/nc1": (NC1, RED, "-"),
            "recovery_layers/PATH/nc1_fine": (NC1_FINE, BLUE, "-."),
        },
    ),
}


@dataclass(frozen=True)
class DepthCurve:
    """One measure at one epoch: a value for each of some places, in order of depth."""

    label: str
    epoch: int
    places: tuple[str, ...]
    values: tuple[float, ...]
    colour: str
    style: str
    opacity: float


@dataclass(frozen=True)
class DepthPanel:
    """Curves with one axis, "log" or "linear", over the same places."""

    title: str
    scale: str
    places: tuple[str, ...]
    curves: tuple[DepthCurve, ...]

    @property
    def epochs(self) -> list[int]:
        """The epochs of the curves; earlier ones are drawn lighter."""
        return sorted({curve.epoch for curve in self.curves})


def depth_panels(history: Sequence[Row]) -> list[DepthPanel]:
    """The panels for which layers were measured: a first, a middle and the last epoch."""
    measured = [row for row in history if layers_of(row)]
    if not measured:
        return []
    last = len(measured) - 1
    shown = [measured[place] for place in dict.fromkeys((0, last // 2, last))]
    places = (*layers_of(shown[-1]), FEATURES)
    panels = (
        DepthPanel(title, scale, places, tuple(_curves(shown, places, keys)))
        for title, (scale, keys) in PANELS.items()
    )
    return [panel for panel in panels if panel.curves]


def layers_of(row: Row) -> tuple[str, ...]:
    """The paths of the layers that an epoch measured, in order of depth.

    Those of recovery alone, if there are any: each monitor writes its own in order.
    """
    for kind in ("recovery_layers/", "collapse_layers/"):
        found = (key.removeprefix(kind).rpartition("/")[0] for key in row if key.startswith(kind))
        if paths := tuple(dict.fromkeys(found)):
            return paths
    return ()


def _curves(
    rows: Sequence[Row], places: Sequence[str], keys: dict[str, tuple[str, str, str]]
) -> Iterator[DepthCurve]:
    """Each measure at each epoch; the last epoch comes last."""
    for of_layer, (of_features, colour, style) in keys.items():
        for row, opacity in zip(rows, OPACITIES[-len(rows) :], strict=True):
            values = {
                place: row.get(
                    of_features if place == FEATURES else of_layer.replace("PATH", place)
                )
                for place in places
            }
            known = {place: value for place, value in values.items() if value is not None}
            if known.keys() - {FEATURES}:
                yield DepthCurve(
                    LABELS[of_layer],
                    row["epoch"],
                    tuple(known),
                    tuple(known.values()),
                    colour,
                    style,
                    opacity,
                )
