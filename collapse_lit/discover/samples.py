"""The input of a discovery: features and labels of a classifier's samples."""

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

LARGEST = 1e100  # largest feature, so that its square is finite
NUMBER = re.compile(r"-?\d{1,18}")

Picture = Callable[[int], Image.Image]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classifier's predictions for N samples.

    Attributes:
        names: names of the predicted classes, including classes without samples.
        ids: (N,) int64, the predicted class of each sample, -1 if unknown.
        loss: (N,) float32 cross-entropy of each sample in nats; None if unknown.
    """

    names: tuple[str, ...]
    ids: Tensor
    loss: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """The features and labels of N samples. Row i is the same sample in all fields.

    Attributes:
        features: (N, d) float32 or float64, finite: the input of the classifier's last layer.
        coarse: (N,) int64, the class used to train the classifier.
        coarse_names: names of the C classes, each with at least one sample.
        fine: (N,) int64, the known sub-class of each sample, -1 if unknown; None if all are
            unknown. A sub-class belongs to one class: the name "left" in two classes means two
            sub-classes.
        fine_names: names of the F known sub-classes.
        fine_to_coarse: (F,) int64.
        predictions: the classifier's predictions, None if unknown.
        paths: name of each sample; None to use row numbers.
        picture: function that returns the picture of a sample by its row, None without pictures. It
            may raise any error of Pillow for a broken file.
        origin: the source of the samples, for the record.
        notes: sentences that a reader of the result should see.
        extracted: whether the features were computed, so that no user's file holds them.
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
    """Number the labels and check that they fit the features.

    Args:
        features: (N, d) finite numbers.
        labels: N classes, by name or number.
        fine: N known sub-classes, "" or None if unknown.
        paths: N names of the samples.
        predicted: N predicted classes, "" or None if unknown.
        features_from: the file of the features, for messages.
        labels_from: the file of the labels, for messages.
        more: further fields of :class:`Samples`.

    Raises:
        UserError: The features are not a table of finite numbers; the number of labels, fine labels
            or paths differs from that of the features; or a label is empty.
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
                "rows of features: the numbers must be equal"
            )
    empty = [row for row, word in enumerate(words) if not word]
    if empty:
        raise UserError(
            f"{labels_from}: the label of {_rows(empty)} is empty; every sample needs a class"
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
    """Number the predicted classes; None if all are unknown.

    Raises:
        UserError: A value is not a class.
    """
    words = words_of(predicted, source)
    return Predictions(*_numbered(words)) if any(words) else None


def words_of(values: Iterable[Any], source: str) -> list[str]:
    """Class names of any type as text; "" for missing names.

    Floats such as 3.0 become "3": a missing value turns a column of integers into floats.

    Args:
        values: text, bytes, numbers or booleans; None or NaN if missing.
        source: the file of the values, for messages.

    Raises:
        UserError: A value is a number with a fraction, or bytes that are not UTF-8.
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
            raise UserError(f"{source}: {value} is not a class; use names or whole numbers")
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace").decode().strip()


def check_features(array: np.ndarray | Tensor, source: str) -> Tensor:
    """Features as a tensor (N, d) on the CPU, in float32, or in float64 if float32 would lose
    digits.

    Args:
        array: the features as read.
        source: the file or model of the features, for messages.

    Raises:
        UserError: The array is not a table of finite numbers.
    """
    if isinstance(array, Tensor):
        array = array.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    if array.ndim != 2 or 0 in array.shape:
        hint = "; average maps first: features.mean((2, 3))" if array.ndim == 4 else ""
        raise UserError(
            f"{source}: the features have shape {array.shape}; expected (samples, features){hint}"
        )
    if array.dtype.kind not in "fiub":
        raise UserError(f"{source}: the features have type {array.dtype}; expected numbers")
    exact = np.result_type(array.dtype, np.float32).itemsize > 4  # for both byte orders
    array = array.astype(np.float64 if exact else np.float32, copy=False)
    broken = np.flatnonzero(~np.isfinite(array).all(axis=1)).tolist()
    if broken:
        raise UserError(f"{source}: the features are NaN or infinite in {_rows(broken)}")
    if (largest := max(float(array.max()), -float(array.min()))) > LARGEST:
        raise UserError(
            f"{source}: the features reach {largest:.1e}; scale them below {LARGEST:.0e}"
        )
    return torch.from_numpy(np.ascontiguousarray(array))


def digest(features: Tensor) -> str:
    """A fingerprint to check later that the features are unchanged."""
    return hashlib.blake2b(features.numpy().tobytes(), digest_size=8).hexdigest()


def _known_fine(coarse: Tensor, fine: Sequence[str]) -> dict[str, Any]:
    """The fields of known sub-classes, each of which is a pair of class and name."""
    pairs = list(zip(coarse.tolist(), fine, strict=True))
    classes = sorted({pair for pair in pairs if pair[1]})
    number = {pair: i for i, pair in enumerate(classes)}
    return {
        "fine": torch.tensor([number.get(pair, -1) for pair in pairs]),
        "fine_names": tuple(name for _, name in classes),
        "fine_to_coarse": torch.tensor([c for c, _ in classes]),
    }


def _numbered(words: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Sorted names (numbers numerically, 2 before 10), and the position of each word, -1 for ""."""
    distinct = set(words) - {""}
    numeric = all(NUMBER.fullmatch(word) for word in distinct)
    names = sorted(distinct, key=lambda w: (int(w), w)) if numeric else sorted(distinct)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), torch.tensor([place.get(word, -1) for word in words])


def _rows(rows: Sequence[int]) -> str:
    """Text such as ``3 rows (4, 9, 12)``, with rows counted from 0 as in the array."""
    shown = ", ".join(str(row) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    return f"row {shown}" if len(rows) == 1 else f"{len(rows)} rows ({shown})"
