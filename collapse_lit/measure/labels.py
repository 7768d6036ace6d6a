"""Labels of any integer kind, as indices."""

from torch import Tensor


def as_labels(labels: Tensor, name: str) -> Tensor:
    """The labels as int64.

    Raises:
        ValueError: They are no integers; the message has their name and dtype.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must be integers, not {labels.dtype}")
    return labels.long()
