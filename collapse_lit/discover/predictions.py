"""The classifier's predictions, from its logits or from a user's file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from collapse_lit.discover.csv_files import read_csv, readable
from collapse_lit.discover.samples import Predictions, Samples, make_predictions
from collapse_lit.errors import UserError

SUM = 1e-2  # tolerance of the sum of a sample's probabilities, for half precision


def of_logits(logits: Tensor | None, names: Sequence[str] | None, samples: Samples) -> Samples:
    """Add predictions from logits to the samples; return them unchanged if the classes are unknown.

    Args:
        logits: (N, C), or (N, 1) with a sign that decides between two classes.
        names: names of the C classes; None to use those of the samples if the numbers agree.
        samples: the samples of the logits.
    """
    if logits is None or len(logits) != len(samples):
        return samples
    logits = logits.detach().float().cpu()
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    names = samples.coarse_names if names is None else names
    if logits.shape[1] != len(names) or not torch.isfinite(logits).all():
        return samples
    return replace(samples, predictions=_decided(logits.log_softmax(dim=1), names, samples))


def with_predictions(samples: Samples, path: Path) -> Samples:
    """Add predictions from a file to the samples.

    Args:
        samples: the samples.
        path: ``.csv`` with the column ``predicted`` and optionally ``loss``. Its rows are matched
            by the column ``path`` or ``index`` if there is one, otherwise by order. Or ``.npy`` (N,
            C) with the probability of each class, in the order of their names.

    Raises:
        UserError: The file cannot be read, or it does not match the samples.
    """
    if path.suffix == ".npy":
        return replace(samples, predictions=_of_probabilities(samples, path))
    columns = read_csv(path, ("predicted",))
    order = _order(samples, columns, path)
    predicted = [columns["predicted"][row] for row in order]
    found = make_predictions(predicted, str(path))
    if found is None or not set(found.names) & set(samples.coarse_names):
        raise UserError(
            f"--predictions {path}: none of its classes is a class of the samples, which are "
            f"{', '.join(samples.coarse_names[:10])}"
        )
    if "loss" in columns:
        with readable(path):
            loss = torch.tensor([float(columns["loss"][row]) for row in order])
        if not torch.isfinite(loss).all():
            raise UserError(f"--predictions {path}: the column 'loss' has NaN or infinite values")
        found = replace(found, loss=loss)
    return replace(samples, predictions=found)


def _order(samples: Samples, columns: dict[str, list[str]], path: Path) -> list[int]:
    """The row of each sample in the file."""
    n = len(columns["predicted"])
    key = next((name for name in ("path", "index") if name in columns), None)
    if key == "path" and samples.paths is None:
        key = None
    if key is None:
        if n != len(samples):
            raise UserError(
                f"--predictions {path}: it has {n} rows for {len(samples)} samples; give one row "
                "per sample, or a column 'path' or 'index'"
            )
        return list(range(n))
    place = {name.strip(): row for row, name in enumerate(columns[key])}
    if len(place) < n:
        raise UserError(f"--predictions {path}: its column {key!r} has duplicate values")
    by_path = key == "path" and samples.paths is not None
    named = list(samples.paths or ()) if by_path else [str(i) for i in range(len(samples))]
    missing = [name for name in named if name not in place]
    if missing:
        raise UserError(
            f"--predictions {path}: {len(missing)} of {len(samples)} samples are missing, such as "
            f"{missing[0]}"
        )
    return [place[name] for name in named]


def _of_probabilities(samples: Samples, path: Path) -> Predictions:
    with readable(path):
        array = np.load(path, allow_pickle=False)
    shape = (len(samples), len(samples.coarse_names))
    if array.shape != shape or array.dtype.kind != "f":
        raise UserError(
            f"--predictions {path}: it holds {array.dtype} of shape {array.shape}; give "
            f"probabilities of shape {shape}, one column for each of "
            f"{', '.join(samples.coarse_names[:10])}"
        )
    probability = torch.from_numpy(array.astype(np.float64))
    if not bool((probability >= 0).all() & ((probability.sum(1) - 1).abs() < SUM).all()):
        raise UserError(
            f"--predictions {path}: its rows are not probabilities: they must add up to 1"
        )
    return _decided(probability.clamp(min=1e-12).log(), samples.coarse_names, samples)


def _decided(log_probability: Tensor, names: Sequence[str], samples: Samples) -> Predictions:
    place = {name: c for c, name in enumerate(names)}
    targets = torch.tensor([place.get(name, -1) for name in samples.coarse_names])[samples.coarse]
    known = bool((targets >= 0).all())
    loss = F.nll_loss(log_probability, targets, reduction="none").float() if known else None
    return Predictions(tuple(names), log_probability.argmax(dim=1), loss)
