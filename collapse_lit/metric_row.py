"""What one row of the catalogue of metrics says."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["high", "low", ""]
Place = Literal["progress", "summary", "controls", "grid", "grid in terminal", "recovery"]


@dataclass(frozen=True)
class Metric:
    """One thing that is measured.

    Attributes:
        key: As in ``history.jsonl`` and W&B.
        label: What it is called where there is room.
        meaning: What it says, in Markdown.
        short: What it is called in a line or over a column; the label where empty.
        better: Which of two values is the better one, if that can be said.
        unit: "share" of 0 to 1, a "number", or "" for a ratio without a unit.
        places: Where it is shown beside W&B, which has everything.
        panel: Panel of ``collapse_lit.metrics.PANELS`` that it is drawn in.
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
        """Its name over a column."""
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
    """A measure of collapse onto the coarse classes, of the training features."""
    return Metric(f"collapse/{name}", name, meaning, short, better, places=places, panel=panel)


def share(
    key: str, label: str, meaning: str, short: str = "", places: tuple[Place, ...] = ()
) -> Metric:
    """A share of the samples, more of which is better."""
    return Metric(key, label, meaning, short, "high", "share", places)
