"""The gallery for naming a cluster: its typical, most certain and least certain members."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from collapse_lit.discover.discovery import Discovery, SubClasses
from collapse_lit.discover.samples import Samples
from collapse_lit.measure.clustering import FloatArray, IdArray
from collapse_lit.measure.recovery.spaces import coordinates

ALL_NAMES = 20000  # largest number of names on a page: 2 MB
ALL_TILES = 3000  # approximate number on a page, so that it still opens
MOST, FEWEST = 8, 2  # tiles in a strip
SIDE = 96  # pixels


@dataclass(frozen=True)
class Tile:
    """One sample.

    Attributes:
        name: name of the sample.
        jpeg: its picture in base64; None without a picture.
        link: address of its file relative to the page; None without a file.
    """

    name: str
    jpeg: str | None
    link: str | None = None


@dataclass(frozen=True)
class Members:
    """Rows of some members of one cluster.

    Attributes:
        typical: nearest to the cluster's mean in the chosen space, before t-SNE or UMAP; the first
            is the medoid.
        certain: highest margin over the second-best cluster.
        uncertain: lowest margin. No sample is in both; both are empty if all margins are equal.
    """

    typical: list[int]
    certain: list[int]
    uncertain: list[int]


@dataclass(frozen=True)
class Strips:
    """The tiles of one cluster; fields as in :class:`Members`."""

    typical: list[Tile]
    certain: list[Tile]
    uncertain: list[Tile]


def choose_members(samples: Samples, found: Discovery) -> list[Members]:
    """Members of each of the K clusters, at most 8 of each kind; fewer with many clusters."""
    most = min(max(ALL_TILES // (3 * len(found.cluster_to_coarse)), FEWEST), MOST)
    return [members for classes in found.classes for members in _of_class(samples, classes, most)]


def hang(samples: Samples, chosen: Sequence[Members], folder: Path) -> list[Strips]:
    """The members as tiles, for a page in ``folder``."""
    return [
        Strips(
            *(
                [_tile(samples, row, folder) for row in rows]
                for rows in (members.typical, members.certain, members.uncertain)
            )
        )
        for members in chosen
    ]


def _tile(samples: Samples, row: int, folder: Path) -> Tile:
    return Tile(samples.name_of(row), thumbnail(samples, row), link_to(samples, row, folder))


def link_to(samples: Samples, row: int, folder: Path) -> str | None:
    """Address of a sample's file relative to ``folder``; None without a file."""
    if samples.paths is None or not Path(samples.paths[row]).is_file():
        return None
    return quote(os.path.relpath(samples.paths[row], folder).replace(os.sep, "/"))


def list_all(samples: Samples, found: Discovery, folder: Path) -> dict[int, list[Tile]]:
    """Every sample of each cluster by name, least certain first; empty if there are too many."""
    if samples.paths is None or len(samples) > ALL_NAMES:
        return {}
    listed: dict[int, list[Tile]] = {}
    for row in torch.argsort(found.margin, stable=True).tolist():
        tile = Tile(samples.name_of(row), None, link_to(samples, row, folder))
        listed.setdefault(int(found.ids[row]), []).append(tile)
    return listed


def thumbnail(samples: Samples, row: int) -> str | None:
    """A sample's picture as a small JPEG in base64; None if it is missing or broken."""
    picture = picture_of(samples, row)
    if picture is None:
        return None
    if max(picture.size) > SIDE:
        picture = ImageOps.fit(picture, (SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()


def picture_of(samples: Samples, row: int) -> Image.Image | None:
    """A sample's picture; None if it is missing or broken."""
    if samples.picture is None:
        return None
    try:
        return samples.picture(row)
    except Exception:  # Pillow raises many error types for a broken file
        return None


def _of_class(samples: Samples, classes: SubClasses, most: int) -> list[Members]:
    features = samples.features[classes.index]
    alone = torch.zeros(len(features), dtype=torch.int64)
    points = coordinates(features, alone, 1, classes.space, None)  # (n, r)
    return [
        _of_cluster(classes, points, torch.where(classes.ids == cluster)[0], most)
        for cluster in range(classes.k)
    ]


def _of_cluster(classes: SubClasses, points: Tensor, mine: Tensor, most: int) -> Members:
    rows, inside = classes.index[mine].numpy(), points[mine]
    distance = (inside - inside.mean(dim=0)).square().sum(dim=1).numpy()
    certain, uncertain = extremes(classes.confidence[mine].numpy(), classes.margin[mine].numpy())
    typical = np.argsort(distance, kind="stable")
    return Members(*(rows[some[:most]].tolist() for some in (typical, certain, uncertain)))


def extremes(confidence: FloatArray, margin: FloatArray) -> tuple[IdArray, IdArray]:
    """Positions of the more certain half of n samples, and of the others; the extremes come first.

    Args:
        confidence: (n,) orders samples of equal margin.
        margin: (n,). If all margins are equal, nothing is more certain, and both are empty.
    """
    if len(np.unique(margin)) < 2:
        return np.arange(0), np.arange(0)
    rising = np.lexsort((confidence, margin))
    half = len(rising) // 2
    return rising[half:][::-1], rising[:half]
