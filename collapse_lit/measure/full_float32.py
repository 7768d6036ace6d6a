"""float32 that is float32: what devices would round for speed, measures are spoilt by."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply and convolve float32 with all of its 24 bits meanwhile; also a decorator.

    NVIDIA GPUs convolve with 11 bits (TF32) unless told otherwise, and multiply so after
    ``torch.set_float32_matmul_precision("high")``, which Lightning advises. Training may; a
    within-class variation of 1e-4 would drown.
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
