"""What a batch of anybody's data holds: what the network is called with, and the labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from collapse_lit.errors import UserError

TakeApart = Callable[[Any], Sequence[Any]]

# What people call these in batches that are dictionaries.
INPUT_KEYS = ("x", "input", "inputs", "image", "images", "img", "imgs", "pixel_values", "features")
LABEL_KEYS = ("y", "label", "labels", "target", "targets")
SAY_HOW = "pass batch=lambda batch: (inputs, labels) to the monitor"


@dataclass(frozen=True)
class Batch:
    """One batch, taken apart.

    Attributes:
        args: What the network is called with, by position.
        kwargs: What the network is called with, by name.
        coarse: Labels that the network is trained on, (n,) int64; negative ones are ignored.
        fine: What may be hidden labels, (n,) int64, or None.
        index: Position of each sample in the data set, (n,) int64, or None where it is not known.
    """

    args: tuple[Any, ...]
    coarse: Tensor
    fine: Tensor | None = None
    index: Tensor | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Samples in the batch."""
        return len(self.coarse)


def take_apart(batch: Any, how: TakeApart | None = None, *, indexed: bool = False) -> Batch:
    """The parts of a batch.

    Args:
        batch: A pair (inputs, labels), a triple with fine labels, or a dictionary with keys that
            are in use for inputs and labels.
        how: Function of a batch that returns (inputs, labels) or (inputs, labels, fine labels). The
            network is called with the inputs; by name where they are a dictionary, by position
            where they are a tuple.
        indexed: The fourth item of a batch is the position of each sample in the data set.

    Raises:
        UserError: It is none of these, or its labels are no class of each sample.
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
        raise UserError(f"a batch is {_kind(batch)}, no pair (inputs, labels); {SAY_HOW}")
    coarse = class_labels(batch[1])
    fine = _maybe_labels(batch[2], len(coarse)) if len(batch) > 2 else None
    index = torch.as_tensor(batch[3]) if indexed and len(batch) > 3 else None
    return Batch((batch[0],), coarse, fine, index)


def class_labels(labels: Any, what: str = "labels") -> Tensor:
    """(n,) int64 of class indices (n,) or (n, 1) of any type, or of one-hot rows (n, C).

    Raises:
        UserError: They are something else, such as mixed-up or multi-label targets.
    """
    try:
        found = labels if isinstance(labels, Tensor) else torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"the {what} of a batch are {_kind(labels)}, no tensor; {SAY_HOW}"
        ) from error
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2 and bool(((found == 0) | (found == 1)).all() & (found.sum(1) == 1).all()):
        return found.argmax(1)
    if found.ndim != 1:
        raise UserError(
            f"the {what} of a batch have shape {tuple(found.shape)}; they must be one class a "
            f"sample, (n,), or one-hot; {SAY_HOW}"
        )
    if found.is_complex() or (found.is_floating_point() and bool((found != found.round()).any())):
        raise UserError(f"the {what} of a batch are no whole numbers, so no classes; {SAY_HOW}")
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
            f"a batch has the keys {', '.join(map(str, batch))}, and it is not clear which are the "
            "inputs and which the labels; pass batch=lambda batch: (batch['…'], batch['…']) to the "
            "monitor"
        )
    coarse = class_labels(batch[labels[0]])
    fine = _maybe_labels(batch["fine"], len(coarse)) if "fine" in batch else None
    return Batch((batch[inputs[0]],), coarse, fine)


def _maybe_labels(item: Any, samples: int) -> Tensor | None:
    """(n,) int64 where an item can be a class of each sample; None where it is anything else."""
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
