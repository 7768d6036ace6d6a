"""One clean pass over the data per measured epoch, shared by all monitors."""

import dataclasses
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

import lightning as L
import torch
from lightning.pytorch.trainer.states import RunningStage
from torch import distributed as dist
from torch.utils.data import DataLoader, IterableDataset

from collapse_lit.callbacks.asked import Asked, network_of
from collapse_lit.callbacks.fine_labels import settle_fine
from collapse_lit.callbacks.kept_weights import check_whole, fingerprint, kept_weights
from collapse_lit.callbacks.last_epoch import UNLIMITED
from collapse_lit.callbacks.loaders import (
    PASS_LOADERS,
    splits_to_measure,
)
from collapse_lit.callbacks.randomness import kept_randomness
from collapse_lit.callbacks.shares import Share, share_of
from collapse_lit.features import Features, View, extract_features, in_eval_mode
from collapse_lit.measure.distributed import Group, max_over_ranks
from collapse_lit.reading.batches import Batch, take_apart


class Pass(NamedTuple):
    """The features of one pass, the request that it answers, and its readers so far."""

    key: tuple[Any, ...]
    splits: dict[str, Features]
    readers: set[int]


_passes: WeakKeyDictionary[L.Trainer, Pass] = WeakKeyDictionary()


def measuring_group(trainer: L.Trainer) -> Group:
    """The processes that share the data, or None for a single process."""
    return dist.group.WORLD if trainer.world_size > 1 else None


def clean_features(
    trainer: L.Trainer,
    pl_module: L.LightningModule,
    asked: Asked,
    reader: object,
    only: int | None = None,
) -> tuple[dict[str, Features], str]:
    """This rank's features of every split, and a hash of the network's weights.

    Readers with the same request and weights share one pass. A reader that asks again gets a new
    pass, because the data can change while the weights do not. Under DDP each rank reads its own
    share of the samples, and no sample is read twice.

    Args:
        trainer: The trainer that holds the data.
        pl_module: The network.
        asked: The layers, views and data requested.
        reader: The object that reads the features.
        only: Read only this many batches of each split, to find errors early.

    Raises:
        UserError: The layer, the loaders, a batch or its labels cannot be used.
    """
    check_whole(trainer)
    with kept_weights(trainer, pl_module, measuring_group(trainer)):
        weights = fingerprint(pl_module)
        key = (asked, only, id(pl_module), weights)
        found = _passes.get(trainer)
        if found is None or found.key != key or id(reader) in found.readers:
            found = Pass(key, _extract_splits(trainer, pl_module, asked, only), set())
            _passes[trainer] = found
    found.readers.add(id(reader))
    return found.splits, weights


def forget_features(trainer: L.Trainer) -> None:
    """Free the memory of the last pass for training."""
    _passes.pop(trainer, None)


def _extract_splits(
    trainer: L.Trainer, pl_module: L.LightningModule, asked: Asked, only: int | None
) -> dict[str, Features]:
    """One pass over all splits, or over the first batches of each.

    If one rank fails, all ranks raise, because its samples would be missing.
    """
    group = measuring_group(trainer)
    loaders = splits_to_measure(trainer, asked.loaders)
    splits: dict[str, Features] = {}
    failure: Exception | None = None
    with (
        kept_randomness(*loaders.values()),
        _as_in_validation(trainer, pl_module),
        in_eval_mode(pl_module),
    ):
        shares = {
            split: share_of(loader, trainer.global_rank, trainer.world_size)
            for split, loader in loaders.items()
        }
        try:
            for split, share in shares.items():
                if share is not None:
                    limit = only or _length_of_epoch(trainer, asked, split, loaders[split])
                    batches = islice(_batches(trainer, pl_module, share, asked), limit)
                    views = asked.views.get(split, ())
                    splits[split] = _features_of(trainer, pl_module, asked, batches, views)
        except Exception as error:
            failure = error
    _fail_together(failure, trainer.strategy.root_device, group)
    if "train" in splits:
        _warn_of_augmentation(trainer, asked)
    if asked.offered(trainer):
        return splits
    return settle_fine(splits, group, said=asked.batch is not None, complete=only is None)


def _features_of(
    trainer: L.Trainer,
    pl_module: L.LightningModule,
    asked: Asked,
    batches: Iterable[Batch],
    views: Sequence[View],
) -> Features:
    network, inside = network_of(pl_module, asked)
    found = extract_features(
        network,
        batches,
        asked.layer.removeprefix(inside),
        also=[path.removeprefix(inside) for path in asked.also],
        views=views,
        device=trainer.strategy.root_device,
    )
    layers = {inside + path: rows for path, rows in found.layers.items()}
    return dataclasses.replace(found, layers=layers)


def _fail_together(failure: Exception | None, device: torch.device, group: Group) -> None:
    """Raise an error on all ranks if one of them failed."""
    failed = torch.tensor([failure is not None], dtype=torch.int64, device=device)
    if int(max_over_ranks(failed, group)):
        raise failure if failure is not None else ValueError("another rank cannot read its data")


def _batches(
    trainer: L.Trainer, pl_module: L.LightningModule, share: Share, asked: Asked
) -> Iterator[Batch]:
    """This rank's batches after the hooks that move them to the device, as in training."""
    rank, world_size, start = trainer.global_rank, trainer.world_size, 0
    for raw in share.batches:
        moved = pl_module._on_before_batch_transfer(raw, dataloader_idx=0)
        moved = trainer.strategy.batch_to_device(moved, dataloader_idx=0)
        indexed = share.positions is None and not isinstance(share.batches, DataLoader)
        batch = take_apart(moved, asked.batch, indexed=indexed)
        end, index = start + len(batch), batch.index
        if share.positions is not None:
            index = share.positions[start:end]
        elif index is None:
            index = torch.arange(start * world_size + rank, end * world_size, world_size)
        coarse = batch.coarse if share.counts else torch.full_like(batch.coarse, -1)
        yield dataclasses.replace(batch, coarse=coarse, index=index)
        start = end


def _length_of_epoch(trainer: L.Trainer, asked: Asked, split: str, loader: Any) -> int | None:
    """Batches to read of the trainer's own stream, if the trainer limits them; None to read all."""
    stream = isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset)
    if not stream or asked.loaders is not None or asked.offered(trainer):
        return None
    if split == "train":
        batches: float = trainer.num_training_batches
        if batches == math.inf and trainer.max_steps != UNLIMITED:  # training sees at most these
            batches = trainer.max_steps * trainer.accumulate_grad_batches
    else:
        limits = trainer.num_val_batches
        batches = limits[0] if limits else math.inf
    return int(batches) if 0 < batches < math.inf else None


@contextmanager
def _as_in_validation(trainer: L.Trainer, pl_module: L.LightningModule) -> Iterator[None]:
    """Keep hooks that check ``trainer.training`` from augmenting batches, and turn logging off."""
    stage, trainer.state.stage = trainer.state.stage, RunningStage.VALIDATING
    own_log = vars(pl_module).get("log")
    pl_module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        trainer.state.stage = stage
        del pl_module.log
        if own_log is not None:
            pl_module.log = own_log  # type: ignore[method-assign]


_warned: WeakSet[L.Trainer] = WeakSet()


def _warn_of_augmentation(trainer: L.Trainer, asked: Asked) -> None:
    """Warn once that the trainer's own training data may be augmented."""
    if asked.loaders is None and not asked.offered(trainer) and trainer not in _warned:
        _warned.add(trainer)
        warnings.warn(
            "the monitors read the training data set directly: if it augments its images, "
            f"{PASS_LOADERS}, with clean ones",
            stacklevel=2,
        )
