"""The measured weights: those that training keeps."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import distributed as dist
from torch import nn

from collapse_lit.errors import UserError
from collapse_lit.measure.distributed import Group


@contextmanager
def kept_weights(trainer: L.Trainer, pl_module: L.LightningModule, group: Group) -> Iterator[None]:
    """Put the weights that training keeps into the network, the same on every rank.

    Lightning's ``WeightAveraging`` (EMA) validates and saves the averaged network, so the monitors
    measure the average too. ``StochasticWeightAveraging`` validates and saves the current network,
    and replaces it by the average only at the end of training.
    """
    averaging = [one for one in averaging_of(trainer) if one._average_model is not None]
    for callback in averaging:
        callback._swap_models(pl_module)
    try:
        with _shared_buffers(pl_module, group):
            yield
    finally:
        for callback in reversed(averaging):
            callback._swap_models(pl_module)


@contextmanager
def _shared_buffers(pl_module: L.LightningModule, group: Group) -> Iterator[None]:
    """Give every rank the buffers of rank 0, as DDP does before its forward passes.

    A callback calls the module without DDP's wrapper. Without this, the running statistics of
    BatchNorm would differ between ranks.
    """
    own = [(buffer, buffer.clone()) for buffer in pl_module.buffers()] if group is not None else []
    for buffer, _ in own:
        dist.broadcast(buffer, src=0, group=group)
    try:
        yield
    finally:
        for buffer, before in own:
            buffer.copy_(before)


def averaging_of(trainer: L.Trainer) -> list[WeightAveraging]:
    """The trainer's callbacks that average weights and validate the average."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
    return [callback for callback in callbacks if isinstance(callback, WeightAveraging)]


def kept_fingerprint(trainer: L.Trainer, pl_module: L.LightningModule, group: Group) -> str:
    """The :func:`fingerprint` of the network that training keeps."""
    with kept_weights(trainer, pl_module, group):
        return fingerprint(pl_module)


def fingerprint(network: nn.Module) -> str:
    """A hash of all parameters and buffers; a difference of one bit changes it."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        bits = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
        found.update(bits.cpu().numpy().tobytes())
    return found.hexdigest()


def check_whole(trainer: L.Trainer) -> None:
    """Check that every rank holds the whole network: a clean pass calls it without its wrapper.

    Raises:
        UserError: The strategy shards the network.
    """
    strategy = trainer.strategy
    if isinstance(strategy, (FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy)):
        raise UserError(
            f"the monitors need the whole network on each rank, but {type(strategy).__name__} "
            "shards it; use one device or DDP"
        )


def let_average_before(trainer: L.Trainer, monitor: L.Callback) -> None:
    """Order the callbacks so that weights are averaged or restored before the monitor runs."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    late = [one for one in averaging_of(trainer) if monitor in callbacks[: callbacks.index(one)]]
    if late:
        others = [one for one in callbacks if one not in late]
        place = others.index(monitor)
        trainer.callbacks = [*others[:place], *late, *others[place:]]  # type: ignore[attr-defined]
