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
LOOKED_AT = 32  # paths, to see whether they are pictures


def table_samples(features: Path, labels: Path | None) -> Samples:
    """Samples from files.

    Args:
        features: ``.npy`` (N, d); or ``.npz`` with ``features`` (N, d) and ``labels`` (N,), if so
            wished ``fine``, ``paths`` and ``predicted``; or ``.parquet`` with the columns
            ``features`` (a list a row) and ``label``, if so wished ``fine``, ``path`` and
            ``predicted``.
        labels: CSV file with a header and the column ``label``, if so wished ``fine`` (empty where
            unknown), ``path`` and ``predicted`` (the class that the classifier gave): a row a
            sample. For features without labels of their own.

    Raises:
        UserError: A file cannot be read, or is not as described.
    """
    array, columns = read_table(features)
    if labels is None and "label" not in columns:
        raise UserError(
            f"{features}: the class of each row is missing; add --labels labels.csv with a header "
            "'label' and a row a sample, or give an .npz file with the arrays features and labels"
        )
    if labels is not None and "label" in columns:
        raise UserError(f"--labels {labels}: {features} has labels of its own; give one of them")
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
    """Features (N, d) without labels, from any of the formats, and the paths if it has some.

    Raises:
        UserError: The file cannot be read, or holds no table of finite numbers.
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
        raise UserError(f"{path}: it has no array 'features'; it has {', '.join(arrays)}")
    columns: dict[str, Sequence[str]] = {}
    for key, column in ARRAYS:
        if key in arrays:
            array = arrays[key]
            if array.ndim != 1:
                raise UserError(f"{path}: {key!r} has shape {array.shape}; (N,) is right")
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
        raise UserError(f"{path}: it has no column 'features'; it has {', '.join(table)}")
    columns: dict[str, Sequence[str]] = {
        key: words_of(table[key].astype(object).where(table[key].notna(), "").to_list(), f"{path}")
        for key in COLUMNS
        if key in table
    }
    return np.stack(table["features"].to_list()), columns


def pictures_by_path(paths: Sequence[str], folder: Path) -> Picture | None:
    """Pictures by path, from the working directory or the table's folder; None if there are none.

    Paths may as well be those of sounds or sentences: a few of them, evenly spaced, decide.
    """

    def picture(row: int) -> Image.Image:
        path = Path(paths[row])
        return open_picture(path if path.exists() else folder / path)

    def opens(row: int) -> bool:
        try:
            picture(row)
        except Exception:  # Pillow raises many kinds for a broken file
            return False
        return True

    return picture if any(map(opens, range(0, len(paths), -(-len(paths) // LOOKED_AT)))) else None
