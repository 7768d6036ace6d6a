"""The points of the scatter plot as a W&B table, which W&B can group, filter and colour."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.pages.sprite import Sprite
from collapse_lit.tracking.run_directory import Row, RunDirectory

# W&B uploads one file per picture in a table; this number shows the clusters at low cost.
MOST_PICTURES = 500


def points_table(run: RunDirectory, history: Sequence[Row]) -> Any:
    """A ``wandb.Table`` of the epoch chosen without fine labels, else of the last snapshot.

    Returns:
        The table, or None without a scatter plot.
    """
    import wandb

    snapshots = {epoch: s for epoch, s in run.read_snapshots().items() if "xy" in s}
    if not snapshots:
        return None
    chosen = (select_epoch(history) or {}).get("epoch")
    epoch = chosen if chosen in snapshots else max(snapshots)
    columns = point_columns(snapshots[epoch])
    kept = run.read_thumbnails()
    pictures = [] if kept is None else _pictures(Sprite.from_arrays(kept), columns["sample"])
    order = list(range(len(columns["sample"])))
    if any(pictures):
        order.sort(key=lambda row: pictures[row] is None)  # points with a picture come first
        images = [picture and wandb.Image(picture) for picture in pictures]
        columns = {"thumbnail": images, **columns}
    rows = [[column[row] for column in columns.values()] for row in order]
    return wandb.Table(columns=list(columns), data=rows)


def point_columns(points: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Columns of the table, one row per point; ``fine`` only if the fine labels are known.

    Args:
        points: A snapshot with ``xy`` (n, 2), ``index``, ``coarse``, ``cluster`` and ``fine``, all
            (n,), and optionally the names of classes.
    """
    columns = {
        "sample": points["index"].tolist(),
        "coarse": _named(points["coarse"], points.get("coarse_names"), "coarse class"),
        "cluster": _named(points["cluster"], None, "cluster"),
    }
    if (points["fine"] >= 0).all():
        columns["fine"] = _named(points["fine"], points.get("fine_names"), "fine class")
    x, y = points["xy"].astype(float).T.tolist()
    return {**columns, "x": x, "y": y}


def _named(classes: np.ndarray, names: np.ndarray | None, otherwise: str) -> list[str]:
    return [f"{otherwise} {one}" if names is None else str(names[one]) for one in classes.tolist()]


def _pictures(sprite: Sprite, samples: Sequence[int]) -> list[Any]:
    """The picture of each sample, or None; at most :data:`MOST_PICTURES`, evenly spaced."""
    tiles = sprite.tiles(samples)
    there = [row for row, tile in enumerate(tiles) if tile >= 0]
    step = max(1, -(-len(there) // MOST_PICTURES))
    shown = there[::step]
    cut = dict(zip(shown, sprite.cut(tiles[row] for row in shown), strict=True))
    return [cut.get(row) for row in range(len(tiles))]


@contextmanager
def staged_in(folder: Path) -> Iterator[None]:
    """Make W&B keep the files of a table below ``folder`` instead of the user's home.

    They stay there until they are uploaded; for an offline run, until ``wandb sync``. W&B reads the
    folder from its environment each time. A user's own setting takes precedence.
    """
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]
