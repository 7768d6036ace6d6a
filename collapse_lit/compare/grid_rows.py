"""The cells of a grid from their histories, each at its epoch chosen without fine labels."""

from collections.abc import Sequence
from pathlib import Path

from collapse_lit.measure.recovery.epoch import epoch_score, select_epoch
from collapse_lit.metrics import HEADLINE, columns
from collapse_lit.report.terminal import four_decimals
from collapse_lit.tracking.run_directory import Row, RunDirectory

COLUMNS = {"epoch": "epoch", **columns("grid"), "score": "label-free score"}
MARKS = {"chosen": "●", "best": "★"}
NOTE = """\
Each cell is shown at the epoch chosen without fine labels. ● marks the cell that the same rule
chooses: the largest (separation + 0.186) × stability × coarse test accuracy. ★ marks the cell with
the highest recovery on the test set; finding it needs fine labels.
"""


def read_cells(run_dir: Path, names: Sequence[str]) -> list[Row]:
    """The measured cells, each at its epoch chosen without fine labels.

    Returns:
        Rows with ``cell``, the keys of :data:`COLUMNS` (None where there is no such measure), and
        the flags ``chosen`` and ``best``. Each flag marks one cell, if its measure exists.
    """
    rows = []
    for name in names:
        history = RunDirectory(run_dir / name).read_history()
        if history:
            rows.append({"cell": name, **_comparable(history)})
    for mark, key in (("chosen", "score"), ("best", HEADLINE)):
        known = [row for row in rows if row[key] is not None]
        first = max(known, key=lambda row: row[key]) if known else None
        for row in rows:
            row[mark] = row is first
    return rows


def _comparable(history: Sequence[Row]) -> Row:
    selected = select_epoch(history)
    if selected is None:
        return {key: history[-1].get(key) for key in COLUMNS}
    row = next(row for row in history if row["epoch"] == selected["epoch"])
    return {**{key: row.get(key) for key in COLUMNS}, "score": epoch_score(row)}


def marks(row: Row) -> str:
    """The marks of a cell as one string."""
    return "".join(mark for key, mark in MARKS.items() if row[key])


def texts(row: Row) -> list[str]:
    """A cell's values as text, one for each of :data:`COLUMNS`."""
    return [str(row[key]) if key == "epoch" else four_decimals(row[key]) for key in COLUMNS]
