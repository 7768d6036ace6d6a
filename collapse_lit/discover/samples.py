"""What sub-classes are looked for in: the features of a classifier's samples, and their labels."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from collapse_lit.errors import UserError

Picture = Callable[[int], Image.Image]


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples as a classifier sees them; row i is one sample throughout.

    Attributes:
        features: (N, d) float32 or float64, finite: what enters the classifier's last layer.
        coarse: (N,) int64, the class that the classifier was trained to tell.
        coarse_names: names of the C classes, each with at least one sample.
        fine: (N,) int64, a known sub-class of the sample, -1 where unknown; None where all are. A
            sub-class belongs to one class: "left" of two classes is two sub-classes.
        fine_names: names of the F known sub-classes.
        fine_to_coarse: (F,) int64.
        paths: what to call each sample, None where its row number must do.
        picture: The picture of a sample by its row, None where there are no pictures. It may raise
            OSError.
        origin: what the samples were read from, for the record.
        notes: sentences that a reader of the result should see.
        extracted: whether the features were computed, and are in no file of the user's.
    """

    features: Tensor
    coarse: Tensor
    coarse_names: tuple[str, ...]
    fine: Tensor | None = None
    fine_names: tuple[str, ...] = ()
    fine_to_coarse: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    paths: tuple[str, ...] | None = None
    picture: Picture | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    extracted: bool = False

    def __len__(self) -> int:
        return len(self.coarse)

    def name_of(self, row: int) -> str:
        """The sample's path, or its row number."""
        return self.paths[row] if self.paths is not None else str(row)


def make_samples(
    features: Tensor,
    labels: Sequence[str],
    fine: Sequence[str] | None = None,
    paths: Sequence[str] | None = None,
    *,
    features_from: str = "features",
    labels_from: str = "labels",
    **more: Any,
) -> Samples:
    """Number the labels and see that they fit the features.

    Args:
        features: (N, d) finite floating point.
        labels: N class names.
        fine: N names of known sub-classes, "" where unknown.
        paths: N names to call the samples by.
        features_from: the file that the features are from, for messages.
        labels_from: the file that the labels are from, for messages.
        more: further fields of :class:`Samples`.

    Raises:
        UserError: Labels, fine labels or paths are not as many as features, or a label is empty.
    """
    for what, column in (("labels", labels), ("fine labels", fine), ("paths", paths)):
        if column is not None and len(column) != len(features):
            raise UserError(
                f"{labels_from} has {len(column)} {what} and {features_from} has {len(features)} "
                "rows of features: as many would be right"
            )
    empty = [row for row, label in enumerate(labels) if not label.strip()]
    if empty:
        raise UserError(
            f"{labels_from}: the label of {_rows(empty)} is empty; every sample needs its class"
        )
    coarse_names, coarse = _numbered(labels)
    known = fine is not None and any(name.strip() for name in fine)
    return Samples(
        features=features,
        coarse=coarse,
        coarse_names=coarse_names,
        paths=None if paths is None else tuple(paths),
        **(_known_fine(coarse, fine) if fine is not None and known else {}),
        **more,
    )


def check_features(array: np.ndarray, source: str) -> Tensor:
    """Features as a tensor (N, d), float32 unless they are float64.

    Args:
        array: what was read.
        source: the file or model it is from, for messages.

    Raises:
        UserError: It is not a table of finite numbers.
    """
    if array.ndim != 2 or 0 in array.shape:
        hint = "; average maps first: features.mean((2, 3))" if array.ndim == 4 else ""
        raise UserError(
            f"{source}: features of shape {array.shape}; (samples, features) would be right{hint}"
        )
    if array.dtype.kind not in "fiu":
        raise UserError(f"{source}: features of type {array.dtype}; numbers would be right")
    array = array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)
    broken = np.flatnonzero(~np.isfinite(array).all(axis=1)).tolist()
    if broken:
        raise UserError(f"{source}: NaN or infinite features in {_rows(broken)}")
    return torch.from_numpy(np.ascontiguousarray(array))


def digest(features: Tensor) -> str:
    """A fingerprint: to see later whether features are the same."""
    return hashlib.blake2b(features.numpy().tobytes(), digest_size=8).hexdigest()


def _known_fine(coarse: Tensor, fine: Sequence[str]) -> dict[str, Any]:
    """The fields of known sub-classes: each a pair of class and name."""
    pairs = [(c, name.strip()) for c, name in zip(coarse.tolist(), fine, strict=True)]
    classes = sorted({pair for pair in pairs if pair[1]})
    number = {pair: i for i, pair in enumerate(classes)}
    return {
        "fine": torch.tensor([number.get(pair, -1) for pair in pairs]),
        "fine_names": tuple(name for _, name in classes),
        "fine_to_coarse": torch.tensor([c for c, _ in classes]),
    }


def _numbered(labels: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Names in order, numbers as numbers (2 before 10), and each label's place among them."""
    words = [label.strip() for label in labels]
    distinct = set(words)
    numeric = all(word.lstrip("-").isdecimal() for word in distinct)
    names = sorted(distinct, key=lambda w: (int(w), w)) if numeric else sorted(distinct)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), torch.tensor([place[word] for word in words])


def _rows(rows: Sequence[int]) -> str:
    """``3 rows (4, 9, 12)``; rows count from 0, as they do in the array."""
    shown = ", ".join(str(row) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    return f"row {shown}" if len(rows) == 1 else f"{len(rows)} rows ({shown})"
