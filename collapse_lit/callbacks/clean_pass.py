"""One clean pass over the data per measured epoch, however many monitors read it."""

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import lightning as L
import torch
from lightning.pytorch.trainer.states import RunningStage
from lightning.pytorch.utilities.seed import isolate_rng
from torch import distributed as dist
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from collapse_lit.batches import Batch, TakeApart, take_apart
from collapse_lit.callbacks.fine_labels import settle_fine
from collapse_lit.callbacks.loaders import PASS_LOADERS, Loaders, share_of, splits_to_measure
from collapse_lit.callbacks.weights import check_whole, fingerprint, kept_weights
from collapse_lit.errors import UserError
from collapse_lit.features import Features, View, extract_features
from collapse_lit.layers import find_layer
from collapse_lit.measure.distributed import Group


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a monitor wants to see.

    Attributes:
        layer: Path of the module whose input is the feature.
        also: Paths of further modules whose output is kept.
        views: By split, what is looked at beside the images.
        loaders: Where the data come from; None for the trainer's own.
        batch: How a batch is taken apart; None for the usual ways.
    """

    layer: str
    also: tuple[str, ...] = ()
    views: Mapping[str, Sequence[View]] = dataclasses.field(default_factory=dict)
    loaders: Loaders | None = None
    batch: TakeApart | None = None


class Pass(NamedTuple):
    """What one pass found, for whom it is, and who has read it."""

    key: tuple[Any, ...]
    splits: dict[str, Features]
    readers: set[int]


_passes: WeakKeyDictionary[L.Trainer, Pass] = WeakKeyDictionary()


def measuring_group(trainer: L.Trainer) -> Group:
    """The processes that share the data, or None where there is one."""
    return dist.group.WORLD if trainer.world_size > 1 else None


def clean_features(
    trainer: L.Trainer,
    pl_module: L.LightningModule,
    asked: Asked,
    reader: object,
    only: int | None = None,
) -> tuple[dict[str, Features], str]:
    """Features of every split as this rank holds them, and a hash of the weights they are of.

    Extracted once for all who ask alike, of the same weights. Nobody reads a pass twice: who asks
    again gets a new one, since data can change where weights do not. Under DDP each rank passes
    over its own share of the samples, none of them twice.

    Args:
        trainer: Whose data are passed over.
        pl_module: The network.
        asked: What to keep.
        reader: Who asks.
        only: Pass over this many batches of each split: what goes wrong later, goes wrong here.

    Raises:
        UserError: The layer, the loaders, a batch or its labels cannot be used.
    """
    check_whole(trainer)
    with kept_weights(trainer, pl_module):
        _share_buffers(pl_module, measuring_group(trainer))
        weights = fingerprint(pl_module)
        key = (asked, only, id(pl_module), weights)
        found = _passes.get(trainer)
        if found is None or found.key != key or id(reader) in found.readers:
            found = Pass(key, _extract_splits(trainer, pl_module, asked, only), set())
            _passes[trainer] = found
    found.readers.add(id(reader))
    return found.splits, weights


def forget_features(trainer: L.Trainer) -> None:
    """Let go of the last pass, so that its memory is free for training."""
    _passes.pop(trainer, None)


def _share_buffers(pl_module: L.LightningModule, group: Group) -> None:
    """Give every rank the buffers of rank 0, as DDP does before its own forward passes.

    A callback calls the module itself and not DDP's wrapper; without this, the running statistics
    of BatchNorm would differ from rank to rank.
    """
    if group is not None:
        for buffer in pl_module.buffers():
            dist.broadcast(buffer, src=0, group=group)


def _extract_splits(
    trainer: L.Trainer, pl_module: L.LightningModule, asked: Asked, only: int | None
) -> dict[str, Features]:
    """One pass over all splits, or over the first batches of each."""
    network, inside = _network(pl_module, asked)
    splits: dict[str, Features] = {}
    with isolate_rng(), _as_in_validation(trainer):
        for split, loader in splits_to_measure(trainer, asked.loaders).items():
            if split == "train":
                _warn_of_augmentation(trainer, asked)
            features = extract_features(
                network,
                islice(_batches(trainer, pl_module, loader, asked), only),
                asked.layer.removeprefix(inside),
                also=[path.removeprefix(inside) for path in asked.also],
                views=asked.views.get(split, ()),
                device=trainer.strategy.root_device,
            )
            layers = {inside + path: rows for path, rows in features.layers.items()}
            splits[split] = dataclasses.replace(features, layers=layers)
    said = asked.batch is not None or _offers(trainer, asked)
    return settle_fine(splits, measuring_group(trainer), said=said, complete=only is None)


def _batches(
    trainer: L.Trainer, pl_module: L.LightningModule, loader: Any, asked: Asked
) -> Iterator[Batch]:
    """This rank's batches as training would see them: through the hooks that move them."""
    rank, world_size = trainer.global_rank, trainer.world_size
    share, positions = share_of(loader, rank, world_size)
    if positions is None:
        share = islice(share, _length_of_epoch(trainer, loader))
    start = 0
    for raw in share:
        moved = pl_module._on_before_batch_transfer(raw, dataloader_idx=0)
        moved = trainer.strategy.batch_to_device(moved, dataloader_idx=0)
        batch = take_apart(moved, asked.batch, indexed=not isinstance(loader, DataLoader))
        end = start + len(batch)
        if positions is not None:
            batch = dataclasses.replace(batch, index=positions[start:end])
        elif batch.index is None:
            batch = dataclasses.replace(
                batch, index=torch.arange(start * world_size + rank, end * world_size, world_size)
            )
        start = end
        yield batch


def _length_of_epoch(trainer: L.Trainer, loader: Any) -> int | None:
    """Batches in an epoch of a stream, if the trainer was told; None for all that there are."""
    stream = isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset)
    batches = trainer.num_training_batches if stream else math.inf
    return int(batches) if 0 < batches < math.inf else None


def _network(pl_module: L.LightningModule, asked: Asked) -> tuple[nn.Module, str]:
    """The module to call with the inputs, and the start of the paths of all that is in it.

    Raises:
        UserError: The module has no forward pass, and the layers are in no one network that has.
    """
    own = "forward" in vars(pl_module) or type(pl_module).forward is not L.LightningModule.forward
    find_layer(pl_module, asked.layer)
    if own:
        return pl_module, ""
    child, _, rest = asked.layer.partition(".")
    if not rest or not all(path.startswith(f"{child}.") for path in asked.also):
        raise UserError(
            f"{type(pl_module).__name__} has no forward(): define one that returns the logits of a "
            "batch's inputs, for the monitors to call"
        )
    return pl_module.get_submodule(child), f"{child}."


@contextmanager
def _as_in_validation(trainer: L.Trainer) -> Iterator[None]:
    """Let hooks that augment batches while ``trainer.training`` leave them alone."""
    stage, trainer.state.stage = trainer.state.stage, RunningStage.VALIDATING
    try:
        yield
    finally:
        trainer.state.stage = stage


def _offers(trainer: L.Trainer, asked: Asked) -> bool:
    """Whether the data come from a data module that was made to be measured."""
    return (
        asked.loaders is None
        and hasattr(trainer, "datamodule")
        and hasattr(trainer.datamodule, "clean_dataloaders")
    )


_warned: WeakSet[L.Trainer] = WeakSet()


def _warn_of_augmentation(trainer: L.Trainer, asked: Asked) -> None:
    """Say once that the trainer's own training data are taken as they come."""
    if asked.loaders is None and not _offers(trainer, asked) and trainer not in _warned:
        _warned.add(trainer)
        warnings.warn(
            "measuring on the training data set as it is: if it augments its images, "
            f"{PASS_LOADERS}, with clean ones",
            stacklevel=2,
        )
