"""Whose weights are measured: those of the network that training keeps."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import nn

from collapse_lit.errors import UserError


@contextmanager
def kept_weights(trainer: L.Trainer, pl_module: L.LightningModule) -> Iterator[None]:
    """Put averaged weights into the network meanwhile, where a callback keeps those.

    Lightning's ``WeightAveraging`` (EMA) validates and saves the averaged network, so that is the
    one to measure. ``StochasticWeightAveraging`` validates and saves the current one until it puts
    the average in its place at the end of training.
    """
    averaging = [
        callback
        for callback in trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
        if isinstance(callback, WeightAveraging) and callback._average_model is not None
    ]
    for callback in averaging:
        callback._swap_models(pl_module)
    try:
        yield
    finally:
        for callback in reversed(averaging):
            callback._swap_models(pl_module)


def kept_fingerprint(trainer: L.Trainer, pl_module: L.LightningModule) -> str:
    """The :func:`fingerprint` of the network that training keeps."""
    with kept_weights(trainer, pl_module):
        return fingerprint(pl_module)


def fingerprint(network: nn.Module) -> str:
    """A hash of all parameters and buffers: two networks that differ in one bit differ in it."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        bits = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
        found.update(bits.cpu().numpy().tobytes())
    return found.hexdigest()


def check_whole(trainer: L.Trainer) -> None:
    """See that every rank holds the whole network, which a clean pass calls without its wrapper.

    Raises:
        UserError: The strategy shards it.
    """
    strategy = trainer.strategy
    if isinstance(strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy)):
        raise UserError(
            f"the monitors need the whole network on each rank, and {type(strategy).__name__} "
            "shards it; use one device or DDP"
        )
