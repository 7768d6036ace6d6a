"""``clusters.csv``: a row a sample, found again by its index wherever the row stands."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse_lit.discover.csv_files import read_csv
from collapse_lit.discover.discovery import Discovery
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.samples import Samples, words_of
from collapse_lit.errors import UserError
from collapse_lit.tracking.tables import csv_bytes

COLUMNS = ("coarse", "cluster", "confidence", "margin")


def clusters_table(samples: Samples, found: Discovery) -> bytes:
    """The content of ``clusters.csv``: ``path`` first and ``index`` last, or ``index`` alone."""
    rows = zip(
        (samples.coarse_names[c] for c in samples.coarse.tolist()),
        found.ids.tolist(),
        (f"{value:.4f}" for value in found.confidence.tolist()),
        (f"{value:.4f}" for value in found.margin.tolist()),
        strict=True,
    )
    if samples.paths is None:
        return csv_bytes(("index", *COLUMNS), ((i, *row) for i, row in enumerate(rows)))
    named = zip(samples.paths, rows, strict=True)
    return csv_bytes(
        ("path", *COLUMNS, "index"), ((path, *row, i) for i, (path, row) in enumerate(named))
    )


def read_clusters(folder: DiscoveryFolder, summary: dict[str, Any]) -> tuple[Tensor, Any]:
    """The cluster of each sample and its other columns, in the order of the features.

    Returns:
        (N,) int64, and the columns by name, each a list of N strings.

    Raises:
        UserError: Rows are missing or double, or a cluster is another than was found.
    """
    file, n = folder.clusters, summary["samples"]
    columns = read_csv(file, ("index", "cluster"))
    index, ids = (_whole(columns[name], f"{file}, {name!r}") for name in ("index", "cluster"))
    if len(index) != n or not np.array_equal(np.sort(index), np.arange(n)):
        missing = n - len(set(index.tolist()) & set(range(n)))
        raise UserError(
            f"{file}: it has {len(index)} rows, and {missing} of the {n} samples are missing; "
            "put it back as it was, or run discover again. To leave clusters out, leave their "
            "names empty"
        )
    order = np.argsort(index)
    found = torch.from_numpy(ids[order])
    if assignment_digest(found) != summary["assignment"]:
        raise UserError(
            f"{file}: some of its clusters are not those that were found; put it back as it was, "
            "or run discover again"
        )
    return found, {name: [column[i] for i in order] for name, column in columns.items()}


def assignment_digest(ids: Tensor) -> str:
    """A fingerprint of the cluster (N,) of each sample."""
    return hashlib.blake2b(ids.to(torch.int64).numpy().tobytes(), digest_size=8).hexdigest()


def _whole(column: list[str], source: str) -> np.ndarray:
    """Whole numbers, also where a spreadsheet or a join made 3 into 3.0."""
    try:
        words = words_of(map(float, column), source)
        return np.array([int(word) for word in words], dtype=np.int64)
    except ValueError as error:  # UserError is one too: it says what is wrong
        raise UserError(f"{source}: whole numbers would be right ({error})") from error
