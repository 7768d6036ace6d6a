"""Features and labels from the user's own files: .npy with .csv, .npz, or .parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from collapse_lit.data.pictures import open_picture
from collapse_lit.discover.csv_files import read_csv, readable
from collapse_lit.discover.samples import (
    Picture,
    Samples,
    check_features,
    make_samples,
    words_of,
)
from collapse_lit.errors import UserError

FORMATS = (".npy", ".npz", ".parquet")
COLUMNS = ("label", "fine", "path", "predicted")
ARRAYS = tuple(zip(("labels", "fine", "paths", "predicted"), COLUMNS, strict=True))
LOOKED_AT = 32  # number of paths that are tried as pictures


def table_samples(features: Path, labels: Path | None) -> Samples:
    """Samples from files.

    Args:
        features: ``.npy`` (N, d); or ``.npz`` with ``features`` (N, d), ``labels`` (N,) and
            optionally ``fine``, ``paths`` and ``predicted``; or ``.parquet`` with the columns
            ``features`` (one list per row), ``label`` and optionally ``fine``, ``path`` and
            ``predicted``.
        labels: CSV file with a header and one row per sample, for features without labels. It has
            the column ``label`` and optionally ``fine`` (empty if unknown), ``path`` and
            ``predicted`` (the predicted class).

    Raises:
        UserError: A file cannot be read, or its content is not as described.
    """
    array, columns = read_table(features)
    if labels is None and "label" not in columns:
        raise UserError(
            f"{features}: the classes of the rows are missing; add --labels labels.csv with a "
            "header 'label' and one row per sample, or give an .npz file with the arrays features "
            "and labels"
        )
    if labels is not None and "label" in columns:
        raise UserError(
            f"--labels {labels}: {features} already contains labels; leave --labels out"
        )
    if labels is not None:
        columns = {**read_csv(labels, ("label",))}
    paths = columns.get("path")
    return make_samples(
        check_features(array, str(features)),
        columns["label"],
        columns.get("fine"),
        paths,
        columns.get("predicted"),
        features_from=str(features),
        labels_from=str(labels or features),
        picture=None if paths is None else pictures_by_path(paths, (labels or features).parent),
        origin={"features": str(features)} | ({"labels": str(labels)} if labels else {}),
    )


def read_features(path: Path) -> tuple[Tensor, tuple[str, ...] | None]:
    """Features (N, d) without labels from any of the formats, and the paths if there are any.

    Raises:
        UserError: The file cannot be read, or it does not hold a table of finite numbers.
    """
    array, columns = read_table(path)
    paths = columns.get("path")
    return check_features(array, str(path)), None if paths is None else tuple(paths)


def read_table(path: Path) -> tuple[np.ndarray, dict[str, Sequence[str]]]:
    """The array ``features`` of a file, and its columns ``label``, ``fine``, ``path`` if any."""
    with readable(path):
        if path.suffix in (".npy", ".npz"):
            with path.open("rb") as file:
                loaded = np.load(file, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    return loaded, {}
                return _from_arrays(loaded, path)
        if path.suffix == ".parquet":
            return _from_parquet(path)
    raise UserError(f"{path}: features come from {', '.join(FORMATS)}, not {path.suffix or path}")


def _from_arrays(
    arrays: Mapping[str, np.ndarray], path: Path
) -> tuple[np.ndarray, dict[str, Sequence[str]]]:
    if "features" not in arrays:
        raise UserError(
            f"{path}: the array 'features' is missing; the file has {', '.join(arrays)}"
        )
    columns: dict[str, Sequence[str]] = {}
    for key, column in ARRAYS:
        if key in arrays:
            array = arrays[key]
            if array.ndim != 1:
                raise UserError(f"{path}: {key!r} has shape {array.shape}; expected (N,)")
            columns[column] = words_of(array.tolist(), f"{path}")
    return arrays["features"], columns


def _from_parquet(path: Path) -> tuple[np.ndarray, dict[str, Sequence[str]]]:
    try:
        import pandas as pd

        table = pd.read_parquet(path)
    except ImportError as error:
        raise UserError(
            f"{path}: parquet files need pandas and pyarrow; pip install pandas pyarrow, "
            "or save the features with numpy.save"
        ) from error
    if "features" not in table:
        raise UserError(
            f"{path}: the column 'features' is missing; the file has {', '.join(table)}"
        )
    columns: dict[str, Sequence[str]] = {
        key: words_of(table[key].astype(object).where(table[key].notna(), "").to_list(), f"{path}")
        for key in COLUMNS
        if key in table
    }
    return np.stack(table["features"].to_list()), columns


def pictures_by_path(paths: Sequence[str], folder: Path) -> Picture | None:
    """Pictures by path, relative to the working directory or the table's folder; None without any.

    Paths may also be sounds or sentences, so a few evenly spaced paths are tried.
    """

    def picture(row: int) -> Image.Image:
        path = Path(paths[row])
        return open_picture(path if path.exists() else folder / path)

    def opens(row: int) -> bool:
        try:
            picture(row)
        except Exception:  # Pillow raises many error types for a broken file
            return False
        return True

    return picture if any(map(opens, range(0, len(paths), -(-len(paths) // LOOKED_AT)))) else None
