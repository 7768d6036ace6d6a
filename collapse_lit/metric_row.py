"""One row of the catalogue of metrics."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["high", "low", ""]
Place = Literal["progress", "summary", "controls", "grid", "grid in terminal", "recovery"]


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Attributes:
        key: Name in ``history.jsonl`` and W&B.
        label: Long name.
        meaning: Explanation in Markdown.
        short: Short name for lines and column headers; empty to use the label.
        better: "low" or "high" if one direction is better, else "".
        unit: "share" of 0 to 1, a "number", or "" for a ratio without a unit.
        places: Where it is shown. W&B shows every metric.
        panel: Panel of ``collapse_lit.metrics.PANELS`` in which it is drawn.
    """

    key: str
    label: str
    meaning: str
    short: str = ""
    better: Better = ""
    unit: str = ""
    places: tuple[Place, ...] = ()
    panel: str = ""

    @property
    def column(self) -> str:
        """Its column header."""
        return self.short or self.label


def of_collapse(
    name: str,
    meaning: str,
    *,
    panel: str = "",
    better: Better = "low",
    short: str = "",
    places: tuple[Place, ...] = (),
) -> Metric:
    """A measure of collapse of the training features onto the coarse classes."""
    return Metric(f"collapse/{name}", name, meaning, short, better, places=places, panel=panel)


def share(
    key: str, label: str, meaning: str, short: str = "", places: tuple[Place, ...] = ()
) -> Metric:
    """A share of the samples; higher is better."""
    return Metric(key, label, meaning, short, "high", "share", places)
