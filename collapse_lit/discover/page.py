"""``report.html`` of a discovery: the sub-classes of each class, to look at and to name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collapse_lit.discover.discovery import Discovery, SubClasses
from collapse_lit.discover.gallery import Strips, Tile, picture_of
from collapse_lit.discover.samples import Samples
from collapse_lit.discover.terminal import VERDICTS
from collapse_lit.pages import make_sprite, render_page
from collapse_lit.pages.charts import Chart, scatter

FAILURES = 40  # largest number of rows in the table of failures
POINTS = 2000  # in all scatter plots together
FEWEST = 40  # at least, in one scatter plot, unless the class is smaller or there are many classes


def discovery_page(
    summary: Mapping[str, Any],
    gallery: Sequence[Strips],
    samples: Samples,
    found: Discovery,
    names: Mapping[str, str],
    listed: Mapping[int, Sequence[Tile]],
) -> bytes:
    """The content of the page.

    Args:
        summary: the content of ``clusters.json``.
        gallery: tiles of each cluster, in the order of their numbers.
        samples: the samples.
        found: the sub-classes found.
        names: known names of classes with a single cluster.
        listed: every sample of each cluster, unless there are too many.
    """
    shown = [points_shown(found, classes) for classes in found.classes]
    drawn = [c.index.numpy()[some] for c, some in zip(found.classes, shown, strict=True)]
    rows = np.concatenate(drawn)
    sprite = make_sprite(rows.tolist(), (picture_of(samples, row) for row in rows.tolist()))
    tiles = dict(
        zip(rows.tolist(), [-1] * len(rows) if sprite is None else sprite.tiles(rows), strict=True)
    )
    values = {
        "summary": summary,
        "agreement": summary.get("agreement"),
        "failures": summary.get("failures"),
        "failures_shown": FAILURES,
        "gallery": gallery,
        "names": names,
        "listed": listed,
        "pictures": any(tile.jpeg for strips in gallery for tile in strips.typical),
        "verdicts": VERDICTS,
        "counts": {
            verdict: sum(entry["verdict"] == verdict for entry in summary["classes"])
            for verdict in VERDICTS
        },
        "planes": [
            plane(samples, found, classes, some, tiles)
            for classes, some in zip(found.classes, shown, strict=True)
        ],
        "sprite": sprite,
    }
    return render_page("collapse_lit.discover", "discovery.html.jinja", values)


def points_shown(found: Discovery, classes: SubClasses) -> np.ndarray:
    """Positions of the class's samples in its scatter plot, drawn at random."""
    size, fewest = len(classes), min(FEWEST, max(POINTS // len(found.classes), 4))
    most = max(fewest, POINTS * size // len(found.ids))
    return np.sort(np.random.default_rng(0).permutation(size)[:most])


def plane(
    samples: Samples,
    found: Discovery,
    classes: SubClasses,
    some: np.ndarray,
    tiles: Mapping[int, int],
) -> Chart:
    """Scatter plot of a class in the plane that separates its clusters best."""
    rows = classes.index.numpy()[some].tolist()
    first = found.first_cluster(classes.coarse)
    clusters = (classes.ids.numpy()[some] + first).tolist()
    names = {cluster: f"cluster {cluster}" for cluster in range(first, first + classes.k)}
    what = "" if samples.paths is not None else "sample "
    sure = classes.confidence.numpy()[some].tolist()
    tips = [
        [tiles[row], names[cluster], f"confidence {p:.2f}", f"{what}{samples.name_of(row)}"]
        for row, cluster, p in zip(rows, clusters, sure, strict=True)
    ]
    label = f"samples of {samples.coarse_names[classes.coarse]} by cluster"
    return scatter(classes.xy.numpy()[some], clusters, names, [0] * len(rows), tips, label)
