"""Convert labels of any integer type to indices."""

from torch import Tensor


def as_labels(labels: Tensor, name: str) -> Tensor:
    """Convert the labels to int64.

    Raises:
        ValueError: The labels are not integers; the message has their name and dtype.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must be integers, not {labels.dtype}")
    return labels.long()
