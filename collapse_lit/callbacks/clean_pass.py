"""One clean pass over the data per measured epoch, however many monitors read it."""

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
    """Let go of the last pass, so that its memory is free for training."""
    _passes.pop(trainer, None)


def _extract_splits(
    trainer: L.Trainer, pl_module: L.LightningModule, asked: Asked, only: int | None
) -> dict[str, Features]:
    """One pass over all splits, or over the first batches of each.

    If a rank fails, all raise: what it held cannot be measured without it.
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
    """Raise on all ranks what one of them met."""
    failed = torch.tensor([failure is not None], dtype=torch.int64, device=device)
    if int(max_over_ranks(failed, group)):
        raise failure if failure is not None else ValueError("another rank cannot read its share")


def _batches(
    trainer: L.Trainer, pl_module: L.LightningModule, share: Share, asked: Asked
) -> Iterator[Batch]:
    """This rank's batches as training would see them: through the hooks that move them."""
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
    """Batches to read of a stream of the trainer's own, if it was told; None for all there are."""
    stream = isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset)
    if not stream or asked.loaders is not None or asked.offered(trainer):
        return None
    if split == "train":
        batches: float = trainer.num_training_batches
        if batches == math.inf and trainer.max_steps != UNLIMITED:  # what training sees at most
            batches = trainer.max_steps * trainer.accumulate_grad_batches
    else:
        limits = trainer.num_val_batches
        batches = limits[0] if limits else math.inf
    return int(batches) if 0 < batches < math.inf else None


@contextmanager
def _as_in_validation(trainer: L.Trainer, pl_module: L.LightningModule) -> Iterator[None]:
    """Let hooks that augment while ``trainer.training`` leave batches alone, and log nothing."""
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
    """Say once that the trainer's own training data are taken as they come."""
    if asked.loaders is None and not asked.offered(trainer) and trainer not in _warned:
        _warned.add(trainer)
        warnings.warn(
            "measuring on the training data set as it is: if it augments its images, "
            f"{PASS_LOADERS}, with clean ones",
            stacklevel=2,
        )
