"""What is left inside each coarse class, epoch by epoch: one scatter a class, moved by a slider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_lit.pages.charts import SYMBOLS, Chart, scatter
from collapse_lit.pages.sprite import Sprite
from collapse_lit.report.planes import Planes, Snapshot, evenly, planes_through

MOST_EPOCHS = 20
MOST_POINTS = 50_000  # at all epochs together: they must fit in a page
MARGIN = 0.06  # around the points, as a share of what they fill

Names = Sequence[str] | None


@dataclass(frozen=True)
class Residuals:
    """What the page shows of the residuals.

    Attributes:
        charts: for each coarse class its name, its space, its spread, and its scatter, all at the
            epoch that is shown first; an empty text for what is not known.
        frames: for the slider: ``epochs``, ``chosen``, ``symbols``, what stays the same of each
            class (``classes``), and for each epoch what changes of each class (``frames``).
        shown: the place of the epoch that is shown first.
        told: whether colours are fine classes; else they are clusters.
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

    Coloured by hidden fine class where there is one, the shape being the cluster; else by cluster.

    Args:
        snapshots: by epoch, each with a scatter.
        first: the epoch that is shown first, which has a snapshot.
        chosen: the epoch that was chosen without a label, if any.
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
    """The epochs of the slider: evenly spread, with the one shown first and the last.

    Only the one shown first where its snapshot does not say which samples it has.
    """
    if "index" not in snapshots[first]:
        return [first]
    known = [epoch for epoch, snapshot in snapshots.items() if "index" in snapshot]
    most = min(MOST_EPOCHS, max(2, MOST_POINTS // max(len(snapshots[first]["xy"]), 1)))
    return evenly(known, most, first)


def _constant(
    plane: Planes, points: Snapshot, told: bool, fine_names: Names, sprite: Sprite | None
) -> dict[str, Any]:
    """What stays the same of a class: of each sample its tip and its trace, and the clusters."""
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
    """What changes of a class: its samples' places, clusters (-1: missing), space and spread."""
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
    """The scatter of one class; its axes have room for all epochs."""
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
    """What each trace is called."""
    if not told:
        return {place: f"cluster {c}" for place, c in enumerate(_clusters(plane))}
    there = np.unique(points["fine"][plane.rows]).tolist()
    return {place: _name_of(fine, fine_names) for place, fine in enumerate(there)}


def _name_of(fine: int, names: Names) -> str:
    return names[fine] if names else f"fine class {fine}"


def _clusters(plane: Planes) -> list[int]:
    """The numbers of the class's clusters at all epochs."""
    return np.unique(plane.cluster[plane.cluster >= 0]).tolist()


def _ranges(plane: Planes) -> list[list[float]]:
    """From where to where the two axes go, at every epoch."""
    low, high = (end(plane.xy.reshape(-1, 2), axis=0) for end in (np.nanmin, np.nanmax))
    room = MARGIN * np.maximum(high - low, 1e-3)
    return np.round(np.stack([low - room, high + room], axis=1), 3).tolist()


def _rounded(values: np.ndarray) -> list[float | None]:
    return [round(v, 3) if np.isfinite(v) else None for v in values.tolist()]
