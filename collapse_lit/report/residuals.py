"""The scatter of each coarse class on the page of a run; a slider moves it through the epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_lit.pages.charts import SYMBOLS, Chart, scatter
from collapse_lit.pages.sprite import Sprite
from collapse_lit.report.planes import Planes, Snapshot, evenly, planes_through

MOST_EPOCHS = 20
MOST_POINTS = 50_000  # over all epochs, to limit the size of the page
MARGIN = 0.06  # around the points, relative to their range

Names = Sequence[str] | None


@dataclass(frozen=True)
class Residuals:
    """The scatters of all coarse classes, and the data of the slider.

    Attributes:
        charts: name, space, spread and scatter of each coarse class, at the epoch that is shown
            first; unknown values are empty strings.
        frames: data of the slider: ``epochs``, ``chosen``, ``symbols``, the constant data of each
            class (``classes``), and per epoch the changing data of each class (``frames``).
        shown: position of the epoch that is shown first.
        told: whether colours show fine classes; otherwise they show clusters.
        spread: whether the spread of the classes is known.
    """

    charts: list[tuple[str, str, str, Chart]]
    frames: dict[str, Any]
    shown: int
    told: bool
    spread: bool


def residuals(
    snapshots: Mapping[int, Snapshot],
    first: int,
    chosen: int | None,
    fine_names: Names,
    coarse_names: Names,
    sprite: Sprite | None,
) -> Residuals:
    """The scatters of a run.

    With fine labels, colours show fine classes and shapes show clusters; otherwise, colours show
    clusters.

    Args:
        snapshots: snapshots with a scatter, by epoch.
        first: the epoch that is shown first; it has a snapshot.
        chosen: the epoch chosen without fine labels, if any.
        fine_names: names of the fine classes, if known.
        coarse_names: names of the coarse classes, if known.
        sprite: pictures of the samples.
    """
    points = snapshots[first]
    epochs = epochs_kept(snapshots, first)
    kept = [snapshots[epoch] for epoch in epochs]
    told = bool((points["fine"] >= 0).all())
    planes = list(planes_through(kept, epochs.index(first)))
    classes = [_constant(plane, points, told, fine_names, sprite) for plane in planes]
    frames = [
        [_frame(plane, snapshot, place) for plane in planes] for place, snapshot in enumerate(kept)
    ]
    shown = epochs.index(first)
    charts = []
    for plane, constant, frame in zip(planes, classes, frames[shown], strict=True):
        title = coarse_names[plane.coarse] if coarse_names else f"coarse class {plane.coarse}"
        names = _legend(plane, points, told, fine_names)
        drawn = _chart(plane, constant, frame, names, title)
        charts.append((title, frame["space"], frame["spread"], drawn))
    return Residuals(
        charts,
        {
            "epochs": epochs,
            "chosen": chosen,
            "symbols": SYMBOLS,
            "classes": classes,
            "frames": frames,
        },
        shown,
        told,
        "spread" in points,
    )


def epochs_kept(snapshots: Mapping[int, Snapshot], first: int) -> list[int]:
    """The epochs of the slider: evenly spaced, including ``first`` and the last epoch.

    If the snapshot of ``first`` has no sample ids, it is the only epoch.
    """
    if "index" not in snapshots[first]:
        return [first]
    known = [epoch for epoch, snapshot in snapshots.items() if "index" in snapshot]
    most = min(MOST_EPOCHS, max(2, MOST_POINTS // max(len(snapshots[first]["xy"]), 1)))
    return evenly(known, most, first)


def _constant(
    plane: Planes, points: Snapshot, told: bool, fine_names: Names, sprite: Sprite | None
) -> dict[str, Any]:
    """The constant data of a class: tooltip and trace of each sample, and the clusters."""
    fine = points["fine"][plane.rows]
    index = points["index"][plane.rows] if "index" in points else np.full(len(plane.rows), -1)
    tiles = [-1] * len(index) if sprite is None else sprite.tiles(index)
    samples = [f"sample {sample}" for sample in index.tolist()]
    if told:
        named = [_name_of(f, fine_names) for f in fine.tolist()]
        tips = [[*three] for three in zip(tiles, named, samples, strict=True)]
        traces = np.unique(fine, return_inverse=True)[1].tolist()
    else:
        tips, traces = [[*two] for two in zip(tiles, samples, strict=True)], None
    return {"tips": tips, "traces": traces, "clusters": _clusters(plane)}


def _frame(plane: Planes, snapshot: Snapshot, place: int) -> dict[str, Any]:
    """The changing data of a class: coordinates, clusters (-1: missing), space and spread."""
    x, y = plane.xy[place].T
    places = {cluster: i for i, cluster in enumerate(_clusters(plane))}
    spread = float(snapshot["spread"][plane.coarse]) if "spread" in snapshot else np.nan
    return {
        "x": _rounded(x),
        "y": _rounded(y),
        "cluster": [places.get(cluster, -1) for cluster in plane.cluster[place].tolist()],
        "space": str(snapshot["space"][plane.coarse]) if "space" in snapshot else "",
        "spread": f"{spread:#.2g}".removesuffix(".") if np.isfinite(spread) else "",
    }


def _chart(
    plane: Planes,
    constant: Mapping[str, Any],
    frame: Mapping[str, Any],
    names: Mapping[int, str],
    title: str,
) -> Chart:
    """The scatter of one class, with axes that fit all epochs."""
    clusters, traces = constant["clusters"], constant["traces"]
    tips = [
        [*tip[:-1], f"cluster {clusters[place]}", tip[-1]]
        for tip, place in zip(constant["tips"], frame["cluster"], strict=True)
    ]
    groups, symbols = (
        (frame["cluster"], [0] * len(tips)) if traces is None else (traces, frame["cluster"])
    )
    xy = np.array([frame["x"], frame["y"]]).T
    label = f"residual training features of {title}"
    return scatter(xy, groups, names, symbols, tips, label, _ranges(plane))


def _legend(plane: Planes, points: Snapshot, told: bool, fine_names: Names) -> dict[int, str]:
    """The name of each trace in the legend."""
    if not told:
        return {place: f"cluster {c}" for place, c in enumerate(_clusters(plane))}
    there = np.unique(points["fine"][plane.rows]).tolist()
    return {place: _name_of(fine, fine_names) for place, fine in enumerate(there)}


def _name_of(fine: int, names: Names) -> str:
    return names[fine] if names else f"fine class {fine}"


def _clusters(plane: Planes) -> list[int]:
    """Numbers of the clusters of a class, over all epochs."""
    return np.unique(plane.cluster[plane.cluster >= 0]).tolist()


def _ranges(plane: Planes) -> list[list[float]]:
    """The ranges of both axes, the same at every epoch."""
    low, high = (end(plane.xy.reshape(-1, 2), axis=0) for end in (np.nanmin, np.nanmax))
    room = MARGIN * np.maximum(high - low, 1e-3)
    return np.round(np.stack([low - room, high + room], axis=1), 3).tolist()


def _rounded(values: np.ndarray) -> list[float | None]:
    return [round(v, 3) if np.isfinite(v) else None for v in values.tolist()]
