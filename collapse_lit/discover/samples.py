"""What sub-classes are looked for in: the features of a classifier's samples, and their labels."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from collapse_lit.errors import UserError

LARGEST = 1e100  # of a feature: its square must be a number
NUMBER = re.compile(r"-?\d{1,18}")

Picture = Callable[[int], Image.Image]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the classifier made of N samples.

    Attributes:
        names: of the classes that it gave, whether or not a sample is of them.
        ids: (N,) int64, the class given to each sample, -1 where it is not known.
        loss: (N,) float32 cross-entropy of each sample in nats; None where it is not known.
    """

    names: tuple[str, ...]
    ids: Tensor
    loss: Tensor | None = None


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
        predictions: what the classifier made of the samples, None where that is not known.
        paths: what to call each sample, None where its row number must do.
        picture: The picture of a sample by its row, None where there are no pictures. It may raise
            whatever Pillow raises for a broken file.
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
    predictions: Predictions | None = None
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
    features: Tensor | np.ndarray,
    labels: Iterable[Any],
    fine: Iterable[Any] | None = None,
    paths: Sequence[str] | None = None,
    predicted: Iterable[Any] | None = None,
    *,
    features_from: str = "features",
    labels_from: str = "labels",
    **more: Any,
) -> Samples:
    """Number the labels and see that they fit the features.

    Args:
        features: (N, d) finite numbers.
        labels: N classes, by name or number.
        fine: N known sub-classes, "" or None where unknown.
        paths: N names to call the samples by.
        predicted: N classes that the classifier gave, "" or None where unknown.
        features_from: the file that the features are from, for messages.
        labels_from: the file that the labels are from, for messages.
        more: further fields of :class:`Samples`.

    Raises:
        UserError: Features are no table of finite numbers; labels, fine labels or paths are not as
            many; or a label is empty.
    """
    features = check_features(features, features_from)
    words = words_of(labels, labels_from)
    fine_words = None if fine is None else words_of(fine, labels_from)
    predicted_words = None if predicted is None else words_of(predicted, labels_from)
    for what, column in (
        ("labels", words),
        ("fine labels", fine_words),
        ("paths", paths),
        ("predictions", predicted_words),
    ):
        if column is not None and len(column) != len(features):
            raise UserError(
                f"{labels_from} has {len(column)} {what} and {features_from} has {len(features)} "
                "rows of features: as many would be right"
            )
    empty = [row for row, word in enumerate(words) if not word]
    if empty:
        raise UserError(
            f"{labels_from}: the label of {_rows(empty)} is empty; every sample needs its class"
        )
    coarse_names, coarse = _numbered(words)
    if predicted_words is not None:
        more["predictions"] = make_predictions(predicted_words, labels_from)
    return Samples(
        features=features,
        coarse=coarse,
        coarse_names=coarse_names,
        paths=None if paths is None else tuple(paths),
        **(_known_fine(coarse, fine_words) if fine_words is not None and any(fine_words) else {}),
        **more,
    )


def make_predictions(predicted: Iterable[Any], source: str) -> Predictions | None:
    """Number the classes that the classifier gave; None where none is known.

    Raises:
        UserError: One is no class.
    """
    words = words_of(predicted, source)
    return Predictions(*_numbered(words)) if any(words) else None


def words_of(values: Iterable[Any], source: str) -> list[str]:
    """Class names of any type as text; "" where one is missing.

    Whole numbers of floating point are whole numbers: an unknown value among them makes them so.

    Args:
        values: text, bytes, numbers, booleans; None and NaN where one is missing.
        source: the file that they are from, for messages.

    Raises:
        UserError: A value is a number between whole ones, or bytes that are no UTF-8.
    """
    if isinstance(values, (Tensor, np.ndarray)):
        values = values.tolist()
    return [_word(value, source) for value in values]


def _word(value: Any, source: str) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{source}: the name {value!r} is not in UTF-8") from error
    if isinstance(value, float):
        if not value.is_integer():
            raise UserError(f"{source}: {value} is no class; names or whole numbers are right")
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace").decode().strip()


def check_features(array: np.ndarray | Tensor, source: str) -> Tensor:
    """Features as a tensor (N, d) on the CPU, float32 or, where that would lose digits, float64.

    Args:
        array: what was read.
        source: the file or model it is from, for messages.

    Raises:
        UserError: It is not a table of finite numbers.
    """
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    if array.ndim != 2 or 0 in array.shape:
        hint = "; average maps first: features.mean((2, 3))" if array.ndim == 4 else ""
        raise UserError(
            f"{source}: features of shape {array.shape}; (samples, features) would be right{hint}"
        )
    if array.dtype.kind not in "fiub":
        raise UserError(f"{source}: features of type {array.dtype}; numbers would be right")
    exact = np.result_type(array.dtype, np.float32).itemsize > 4  # also of the other byte order
    array = array.astype(np.float64 if exact else np.float32, copy=False)
    broken = np.flatnonzero(~np.isfinite(array).all(axis=1)).tolist()
    if broken:
        raise UserError(f"{source}: NaN or infinite features in {_rows(broken)}")
    if (largest := max(float(array.max()), -float(array.min()))) > LARGEST:
        raise UserError(f"{source}: features up to {largest:.1e}; scale them below {LARGEST:.0e}")
    return torch.from_numpy(np.ascontiguousarray(array))


def digest(features: Tensor) -> str:
    """A fingerprint: to see later whether features are the same."""
    return hashlib.blake2b(features.numpy().tobytes(), digest_size=8).hexdigest()


def _known_fine(coarse: Tensor, fine: Sequence[str]) -> dict[str, Any]:
    """The fields of known sub-classes: each a pair of class and name."""
    pairs = list(zip(coarse.tolist(), fine, strict=True))
    classes = sorted({pair for pair in pairs if pair[1]})
    number = {pair: i for i, pair in enumerate(classes)}
    return {
        "fine": torch.tensor([number.get(pair, -1) for pair in pairs]),
        "fine_names": tuple(name for _, name in classes),
        "fine_to_coarse": torch.tensor([c for c, _ in classes]),
    }


def _numbered(words: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Names in order, numbers as numbers (2 before 10), and each word's place, -1 for ""."""
    distinct = set(words) - {""}
    numeric = all(NUMBER.fullmatch(word) for word in distinct)
    names = sorted(distinct, key=lambda w: (int(w), w)) if numeric else sorted(distinct)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), torch.tensor([place.get(word, -1) for word in words])


def _rows(rows: Sequence[int]) -> str:
    """``3 rows (4, 9, 12)``; rows count from 0, as they do in the array."""
    shown = ", ".join(str(row) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    return f"row {shown}" if len(rows) == 1 else f"{len(rows)} rows ({shown})"
