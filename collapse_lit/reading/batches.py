"""Split a batch of any data set into the network's inputs and the labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from collapse_lit.errors import UserError

TakeApart = Callable[[Any], Sequence[Any]]

# Usual keys of these items in batches that are dictionaries.
INPUT_KEYS = ("x", "input", "inputs", "image", "images", "img", "imgs", "pixel_values", "features")
LABEL_KEYS = ("y", "label", "labels", "target", "targets")
SAY_HOW = "pass batch=lambda batch: (inputs, labels) to the monitor"


@dataclass(frozen=True)
class Batch:
    """The parts of one batch.

    Attributes:
        args: Positional inputs of the network.
        kwargs: Inputs of the network by name.
        coarse: Labels used for training, (n,) int64; samples with negative labels are ignored.
        fine: Possible hidden labels, (n,) int64, or None.
        index: Position of each sample in the data set, (n,) int64, or None if unknown.
    """

    args: tuple[Any, ...]
    coarse: Tensor
    fine: Tensor | None = None
    index: Tensor | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of samples in the batch."""
        return len(self.coarse)


def take_apart(batch: Any, how: TakeApart | None = None, *, indexed: bool = False) -> Batch:
    """Split a batch into its parts.

    Args:
        batch: A pair (inputs, labels), a triple with fine labels, or a dictionary with usual keys
            for inputs and labels.
        how: Function of a batch that returns (inputs, labels) or (inputs, labels, fine labels).
            Inputs in a dictionary are passed to the network by name, inputs in a tuple by position.
        indexed: Whether the fourth item of a batch is the position of each sample in the data set.

    Raises:
        UserError: The batch has another format, or its labels are not one class per sample.
    """
    if how is not None:
        try:
            parts = how(batch)
        except Exception as error:
            keys = (
                f" with the keys {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
            )
            raise UserError(f"batch= failed on {_kind(batch)}{keys}: {error!r}") from error
        return _as_said(parts)
    if isinstance(batch, Mapping):
        return _named(batch)
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise UserError(f"a batch is {_kind(batch)}, not a pair (inputs, labels); {SAY_HOW}")
    coarse = class_labels(batch[1])
    fine = _maybe_labels(batch[2], len(coarse)) if len(batch) > 2 else None
    index = torch.as_tensor(batch[3]) if indexed and len(batch) > 3 else None
    return Batch((batch[0],), coarse, fine, index)


def class_labels(labels: Any, what: str = "labels") -> Tensor:
    """(n,) int64 of class indices (n,) or (n, 1) of any type, or of one-hot rows (n, C).

    Raises:
        UserError: The labels have another format, such as mixup or multi-label targets.
    """
    try:
        found = labels if isinstance(labels, Tensor) else torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the {what} of a batch are {_kind(labels)}, not a tensor; {SAY_HOW}"
        ) from error
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2 and bool(((found == 0) | (found == 1)).all() & (found.sum(1) == 1).all()):
        return found.argmax(1)
    if found.ndim != 1:
        raise UserError(
            f"the {what} of a batch have shape {tuple(found.shape)}; they must be one class per "
            f"sample, (n,), or one-hot; {SAY_HOW}"
        )
    if found.is_complex() or (found.is_floating_point() and bool((found != found.round()).any())):
        raise UserError(
            f"the {what} of a batch are not whole numbers, so they are not classes; {SAY_HOW}"
        )
    return found.long()


def _as_said(parts: Any) -> Batch:
    if not isinstance(parts, (tuple, list)) or len(parts) not in (2, 3):
        raise UserError(
            f"batch= returned {_kind(parts)}; it must return (inputs, labels) or "
            "(inputs, labels, fine labels)"
        )
    inputs, coarse = parts[0], class_labels(parts[1])
    fine = (
        class_labels(parts[2], "fine labels") if len(parts) == 3 and parts[2] is not None else None
    )
    if isinstance(inputs, Mapping):
        return Batch((), coarse, fine, kwargs=dict(inputs))
    return Batch(inputs if isinstance(inputs, tuple) else (inputs,), coarse, fine)


def _named(batch: Mapping[str, Any]) -> Batch:
    inputs = [key for key in batch if str(key).lower() in INPUT_KEYS]
    labels = [key for key in batch if str(key).lower() in LABEL_KEYS]
    if len(inputs) != 1 or len(labels) != 1:
        raise UserError(
            f"a batch has the keys {', '.join(map(str, batch))}, and it is unclear which are the "
            "inputs and which are the labels; pass batch=lambda batch: (batch['…'], batch['…']) "
            "to the "
            "monitor"
        )
    coarse = class_labels(batch[labels[0]])
    fine = _maybe_labels(batch["fine"], len(coarse)) if "fine" in batch else None
    return Batch((batch[inputs[0]],), coarse, fine)


def _maybe_labels(item: Any, samples: int) -> Tensor | None:
    """(n,) int64 if an item can be one class per sample, else None."""
    if not isinstance(item, Tensor) or item.is_floating_point() or item.is_complex():
        return None
    if item.ndim == 2 and item.shape[1] == 1:
        item = item[:, 0]
    return item.long() if tuple(item.shape) == (samples,) else None


def _kind(item: Any) -> str:
    if isinstance(item, Tensor):
        return f"a tensor of shape {tuple(item.shape)}"
    if isinstance(item, (tuple, list)):
        return f"a {type(item).__name__} of {len(item)}"
    return f"a {type(item).__name__}"
