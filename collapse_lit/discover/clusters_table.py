"""``clusters.csv``: one row per sample, identified by its index in any order."""

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
        UserError: Rows are missing or duplicate, or a cluster was changed.
    """
    file, n = folder.clusters, summary["samples"]
    columns = read_csv(file, ("index", "cluster"))
    index, ids = (_whole(columns[name], f"{file}, {name!r}") for name in ("index", "cluster"))
    if len(index) != n or not np.array_equal(np.sort(index), np.arange(n)):
        missing = n - len(set(index.tolist()) & set(range(n)))
        raise UserError(
            f"{file}: it has {len(index)} rows, and {missing} of the {n} samples are missing; "
            "restore the file, or run discover again. To leave clusters out, leave their "
            "names empty"
        )
    order = np.argsort(index)
    found = torch.from_numpy(ids[order])
    if assignment_digest(found) != summary["assignment"]:
        raise UserError(
            f"{file}: some of its clusters were changed; restore the file, or run discover again"
        )
    return found, {name: [column[i] for i in order] for name, column in columns.items()}


def assignment_digest(ids: Tensor) -> str:
    """A fingerprint of the cluster (N,) of each sample."""
    return hashlib.blake2b(ids.to(torch.int64).numpy().tobytes(), digest_size=8).hexdigest()


def _whole(column: list[str], source: str) -> np.ndarray:
    """Parse whole numbers, including 3.0 as written by a spreadsheet or a join."""
    try:
        words = words_of(map(float, column), source)
        return np.array([int(word) for word in words], dtype=np.int64)
    except ValueError as error:  # UserError is a ValueError too
        raise UserError(f"{source}: expected whole numbers ({error})") from error
