"""Features and labels from the user's own files: .npy with .csv, .npz, or .parquet."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from collapse_lit.discover.samples import Picture, Samples, check_features, make_samples
from collapse_lit.errors import UserError

FORMATS = (".npy", ".npz", ".parquet")


def table_samples(features: Path, labels: Path | None) -> Samples:
    """Samples from files.

    Args:
        features: ``.npy`` (N, d); or ``.npz`` with ``features`` (N, d) and ``labels`` (N,), if so
            wished ``fine`` and ``paths``; or ``.parquet`` with the columns ``features`` (a list a
            row) and ``label``, if so wished ``fine`` and ``path``.
        labels: CSV file with a header and the column ``label``, if so wished ``fine`` (empty where
            unknown) and ``path``: a row a sample. For ``.npy`` only.

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
        columns = read_csv(labels, ("label",))
    paths = columns.get("path")
    return make_samples(
        check_features(array, str(features)),
        columns["label"],
        columns.get("fine"),
        paths,
        features_from=str(features),
        labels_from=str(labels or features),
        picture=None if paths is None else _pictures(paths, (labels or features).parent),
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
    with _readable(path):
        if path.suffix in (".npy", ".npz"):
            with path.open("rb") as file:
                loaded = np.load(file, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    return loaded, {}
                return _from_arrays({name: loaded[name] for name in loaded.files}, path)
        if path.suffix == ".parquet":
            return _from_parquet(path)
    raise UserError(f"{path}: features come from {', '.join(FORMATS)}, not {path.suffix or path}")


def read_csv(path: Path, needed: Sequence[str]) -> dict[str, Sequence[str]]:
    """The columns of a CSV file with a header.

    Raises:
        UserError: It cannot be read, a column of ``needed`` is missing, or a row is too short.
    """
    with _readable(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        for name in needed:
            if name not in header:
                raise UserError(
                    f"{path}: its first line must be a header with {name!r}; it is "
                    f"{','.join(header)!r}"
                )
        columns: dict[str, list[str]] = {name: [] for name in header}
        for row in reader:
            if None in row or None in row.values():
                raise UserError(
                    f"{path}: line {reader.line_num} does not have the {len(header)} fields "
                    f"of the header {','.join(header)!r}"
                )
            for name in header:
                columns[name].append(row[name])
    if not columns[header[0]]:
        raise UserError(f"{path}: there are no rows below its header")
    return {**columns}


def _from_arrays(
    arrays: Mapping[str, np.ndarray], path: Path
) -> tuple[np.ndarray, dict[str, Sequence[str]]]:
    if "features" not in arrays:
        raise UserError(f"{path}: it has no array 'features'; it has {', '.join(arrays)}")
    columns: dict[str, Sequence[str]] = {}
    for key, column in (("labels", "label"), ("fine", "fine"), ("paths", "path")):
        if key in arrays:
            if arrays[key].ndim != 1:
                raise UserError(f"{path}: {key!r} has shape {arrays[key].shape}; (N,) is right")
            columns[column] = [str(value) for value in arrays[key].tolist()]
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
    for name in ("features", "label"):
        if name not in table:
            raise UserError(f"{path}: it has no column {name!r}; it has {', '.join(table)}")
    columns: dict[str, Sequence[str]] = {
        name: table[name].astype(object).where(table[name].notna(), "").astype(str).to_list()
        for name in ("label", "fine", "path")
        if name in table
    }
    return np.stack(table["features"].to_list()), columns


def _pictures(paths: Sequence[str], folder: Path) -> Picture | None:
    """Pictures by path, from the working directory or the table's folder; None if there are none.

    Paths may as well be those of sounds or sentences: the first decides.
    """

    def picture(row: int) -> Image.Image:
        path = Path(paths[row])
        with Image.open(path if path.exists() else folder / path) as image:
            return image.convert("RGB")

    try:
        picture(0)
    except (OSError, ValueError):
        return None
    return picture


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while reading ``path`` into one message that names it."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise UserError(f"{path}: {_why(error)}") from error


def _why(error: Any) -> str:
    if "allow_pickle" in str(error):
        return (
            "it holds Python objects, which could run code when loaded; save plain arrays, "
            "such as labels.astype(str)"
        )
    return f"it cannot be read ({error})"
