"""Full float32 precision: the faster, reduced precision of devices would spoil the measures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply and convolve float32 with all 24 bits; a context manager and decorator.

    By default, NVIDIA GPUs convolve with 11 bits (TF32). They also multiply with 11 bits after
    ``torch.set_float32_matmul_precision("high")``, which Lightning recommends. This is fine for
    training, but it hides a within-class variation of 1e-4.
    """
    products = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
