"""Export a discovery for other tools: a table with features, a projector, or a data set."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from collapse_lit.discover.clusters_table import read_clusters
from collapse_lit.discover.csv_files import read_csv
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.naming import features_of
from collapse_lit.discover.samples import words_of
from collapse_lit.discover.tables import pictures_by_path
from collapse_lit.errors import UserError
from collapse_lit.pages import make_sprite
from collapse_lit.tracking.whole_files import write_whole

POINTS = 5000  # largest number of samples in the projector; more are slow in a browser
SHEET = 8192  # pixels per side: TensorBoard's largest sprite
BLANK = Image.new("RGB", (48, 48), (128, 128, 128))

Columns = dict[str, list[Any]]


def export(folder: DiscoveryFolder, formats: Sequence[str]) -> list[Path]:
    """Write a discovery in other formats; return the paths to open.

    Args:
        folder: the folder of the discovery, which also receives the files.
        formats: keys of :data:`FORMATS`.

    Raises:
        UserError: There is no discovery, its features have changed, or a package is missing.
    """
    summary = folder.read_summary()
    features = features_of(folder, summary)
    ids, read = read_clusters(folder, summary)
    columns: Columns = {}
    if "path" in read:
        columns["path"] = read["path"]
    columns |= {"index": list(range(len(ids))), "coarse": read["coarse"], "cluster": ids.tolist()}
    names = _names(folder)
    if names:
        columns["name"] = [names.get(cluster, "") for cluster in columns["cluster"]]
    for name in ("confidence", "margin"):
        columns[name] = [float(value) for value in read[name]]
    return [FORMATS[name](folder, features, columns) for name in formats]


def _names(folder: DiscoveryFolder) -> dict[int, str]:
    """The names filled in so far."""
    if not folder.names.exists():
        return {}
    columns = read_csv(folder.names, ("cluster", "name"))
    clusters = words_of(columns["cluster"], str(folder.names))
    rows = zip(clusters, columns["name"], strict=True)
    return {int(n): name.strip() for n, name in rows if n.isdecimal() and name.strip()}


def _parquet(folder: DiscoveryFolder, features: Tensor, columns: Columns) -> Path:
    """One row per sample with its features as a list, for pandas, Spotlight, Lightly or DuckDB."""
    try:
        import pandas as pd

        table = pd.DataFrame({**columns, "features": list(features.numpy())})
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
    except ImportError as error:
        raise UserError("--export parquet needs pandas and pyarrow; pip install both") from error
    write_whole(folder.parquet, buffer.getvalue())
    return folder.parquet


def _projector(folder: DiscoveryFolder, features: Tensor, columns: Columns) -> Path:
    """Files for ``tensorboard --logdir``: up to 5,000 samples, with pictures if available."""
    n = len(features)
    rows = np.sort(np.random.default_rng(0).permutation(n)[:POINTS])
    tensors, metadata, sprite, config = folder.projector
    write_whole(tensors, features.numpy()[rows].astype("<f4").tobytes())
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell(column[row]) for column in columns.values()) for row in rows]
    write_whole(metadata, ("\n".join(lines) + "\n").encode())
    drawn = _sprite(columns, rows, folder.path)
    described = [
        'tensor_name: "features"',
        f"tensor_shape: {len(rows)}",
        f"tensor_shape: {features.shape[1]}",
        f'tensor_path: "{tensors.name}"',
        f'metadata_path: "{metadata.name}"',
    ]
    if drawn is not None:
        png, side = drawn
        write_whole(sprite, png)
        described.append(
            f'sprite {{ image_path: "{sprite.name}" single_image_dim: {side} '
            f"single_image_dim: {side} }}"
        )
    write_whole(config, ("embeddings {\n  " + "\n  ".join(described) + "\n}\n").encode())
    return config.parent


def _fiftyone(folder: DiscoveryFolder, features: Tensor, columns: Columns) -> Path:
    """FiftyOne's ``FiftyOneImageClassificationDataset``: images where they are, clusters as labels.

    A label is the name of the cluster, or its number. Class, number and margin are attributes.
    """
    if "path" not in columns:
        raise UserError("--export fiftyone needs images, and these samples have no paths")
    paths = [_found(path, folder.path) for path in columns["path"]]
    if not any(path.is_file() for path in paths):
        raise UserError(f"--export fiftyone needs images, and {paths[0]} is no file, nor any other")
    names = columns.get("name", [""] * len(paths))
    width = len(str(len(paths)))  # FiftyOne sorts samples by their keys, as words
    labels = {
        f"{index:0{width}}": {
            "label": name or f"cluster {cluster}",
            "confidence": confidence,
            "attributes": {"coarse": coarse, "cluster": cluster, "margin": margin, "index": index},
        }
        for index, coarse, cluster, name, confidence, margin in zip(
            *(columns[key] for key in ("index", "coarse", "cluster")),
            names,
            *(columns[key] for key in ("confidence", "margin")),
            strict=True,
        )
    }
    where = dict(zip(labels, map(str, paths), strict=True))
    for file, content in zip(folder.fiftyone, (where, {"labels": labels}), strict=True):
        write_whole(file, json.dumps(content).encode())
    return folder.fiftyone[0].parent


def _found(path: str, folder: Path) -> Path:
    """A path, absolute: from the working directory, or else from the folder of the discovery."""
    return (Path(path) if Path(path).exists() else folder / path).absolute()


def _sprite(columns: Columns, rows: np.ndarray, folder: Path) -> tuple[bytes, int] | None:
    """The pictures of the rows as one PNG, and the side of each; None without pictures."""
    paths = columns.get("path")
    picture = None if paths is None else pictures_by_path(paths, folder)
    if picture is None:
        return None

    def shown(row: int) -> Image.Image:
        try:
            return picture(row)
        except Exception:  # Pillow raises many error types for a broken file
            return BLANK

    sprite = make_sprite(rows.tolist(), map(shown, rows.tolist()))
    assert sprite is not None
    buffer = io.BytesIO()
    sheet = Image.open(io.BytesIO(sprite.webp)).convert("RGB")
    largest = max(sprite.columns * sprite.side, sheet.height)
    side = sprite.side
    if largest > SHEET:
        side = SHEET // sprite.columns
        lines = sheet.height // sprite.side
        sheet = sheet.resize((side * sprite.columns, side * lines))
    sheet.save(buffer, "PNG")
    return buffer.getvalue(), side


def _cell(value: Any) -> str:
    return str(value).replace("\t", " ").replace("\n", " ").replace("\r", " ")


FORMATS: dict[str, Callable[[DiscoveryFolder, Tensor, Columns], Path]] = {
    "fiftyone": _fiftyone,
    "parquet": _parquet,
    "projector": _projector,
}
