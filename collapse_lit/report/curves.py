"""Which curves belong in one picture, for the figures and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from collapse_lit.tracking.run_directory import Row

# Okabe & Ito's palette, told apart with any colour vision; its blue lighter, for dark pages.
BLUE, ORANGE, GREEN, RED, GREY = "#1F83C4", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"


@dataclass(frozen=True)
class Curve:
    """One metric of the history against epoch; ``style`` is a line style of matplotlib's."""

    key: str
    label: str
    colour: str
    style: str = "-"
    width: float = 1.5

    def points(self, history: Sequence[Row]) -> list[tuple[int, float]]:
        """(epoch, value) wherever the history has a value."""
        known = [row for row in history if row.get(self.key) is not None]
        return [(row["epoch"], row[self.key]) for row in known]


@dataclass(frozen=True)
class Panel:
    """Curves with one axis, "log" or "linear"."""

    title: str
    scale: str
    curves: tuple[Curve, ...]


RECOVERED = (
    Curve("recovery/probe_test", "ceiling: probe on true fine labels, test", GREY, "--"),
    Curve("recovery/clp_test", "cluster-and-linear-probe, test", BLUE),
    Curve("recovery/acc", "clusters, train", GREEN),
    Curve("recovery/acc_raw", "k-means on raw features, train", ORANGE),
    Curve("recovery/floor", "floor: random clusters, test", GREY, ":"),
)
LABEL_FREE = (
    Curve("recovery/stability", "stability (label-free)", BLUE),
    Curve("recovery/silhouette", "silhouette (label-free)", GREEN),
)
NC1 = Curve("collapse/nc1", "NC1 (right axis)", RED, "-", 1)


def recovery_curves(history: Sequence[Row]) -> tuple[Curve, ...]:
    """What is known of recovery: accuracies where there are fine labels."""
    return RECOVERED if any("recovery/acc" in row for row in history) else LABEL_FREE


def _both(key: str, colour: str) -> tuple[Curve, Curve]:
    return (
        Curve(f"collapse/{key}", f"{key}, train", colour),
        Curve(f"collapse_test/{key}", f"{key}, test", colour, "--", 1),
    )


COLLAPSE = (
    Panel(
        "NC1: within-class variability",
        "log",
        (
            *_both("nc1", BLUE),
            *_both("nc1_trace", ORANGE),
            *_both("cdnv", GREEN),
            Curve("collapse_fine/nc1", "nc1 of the fine classes, train", RED, "-."),
        ),
    ),
    Panel(
        "NC2: equal norms, equal angles",
        "log",
        (
            *_both("nc2_equinorm", BLUE),
            *_both("nc2_equiangular", ORANGE),
            *_both("nc2_etf", GREEN),
        ),
    ),
    Panel("NC3: head against class means", "log", _both("nc3", BLUE)),
    Panel("NC4: not the nearest class mean", "linear", _both("nc4", BLUE)),
)
