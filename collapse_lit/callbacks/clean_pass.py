"""One clean pass over the data per measured epoch, however many monitors read it."""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import lightning as L
import torch
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import DataLoader

from collapse_lit.features import Features, View, extract_features
from collapse_lit.measure.distributed import Group

Loaders = Callable[[], Mapping[str, Iterable[Sequence[Tensor]]]]


def measuring_group(trainer: L.Trainer) -> Group:
    """The processes that share the data, or None where there is one."""
    return dist.group.WORLD if trainer.world_size > 1 else None


_passes: WeakKeyDictionary[L.Trainer, tuple[Any, dict[str, Features]]] = WeakKeyDictionary()


def clean_features(
    trainer: L.Trainer,
    pl_module: L.LightningModule,
    layer: str,
    also: Sequence[str],
    views: Mapping[str, Sequence[View]],
    loaders: Loaders | None,
) -> dict[str, Features]:
    """Features of every split as this rank holds them; extracted once for all who ask alike.

    Under DDP each rank passes over its own share of the samples, none of them twice. ``views`` are
    what is looked at beside the images of a split.
    """
    asked = (trainer.global_step, layer, tuple(also), views, loaders)
    if trainer not in _passes or _passes[trainer][0] != asked:
        _share_buffers(pl_module, measuring_group(trainer))
        _passes[trainer] = (
            asked,
            _extract_splits(trainer, pl_module, layer, also, views, loaders),
        )
    return _passes[trainer][1]


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
    trainer: L.Trainer,
    pl_module: L.LightningModule,
    layer: str,
    also: Sequence[str],
    views: Mapping[str, Sequence[View]],
    loaders: Loaders | None,
) -> dict[str, Features]:
    splits = {}
    for split, loader in _clean_loaders(trainer, loaders).items():
        rank, world_size = trainer.global_rank, trainer.world_size
        mine = isinstance(loader, DataLoader)  # others, such as our own, share themselves out
        batches = _share_of(loader, rank, world_size) if mine else loader
        features = extract_features(
            pl_module,
            batches,
            layer,
            also=also,
            views=views.get(split, ()),
            device=trainer.strategy.root_device,
        )
        if mine:
            features = dataclasses.replace(features, index=features.index * world_size + rank)
        splits[split] = features
    return splits


def _clean_loaders(
    trainer: L.Trainer, loaders: Loaders | None
) -> Mapping[str, Iterable[Sequence[Tensor]]]:
    """What the monitor was given, else what the data module offers, else the trainer's own data."""
    if loaders is not None:
        return loaders()
    offered = getattr(getattr(trainer, "datamodule", None), "clean_dataloaders", None)
    if offered is not None:
        return offered()
    warnings.warn(
        "measuring on the training data set as it is: if it augments its images, pass "
        "loaders=lambda: {'train': …, 'test': …} with clean ones to the monitor",
        stacklevel=2,
    )
    found: dict[str, Any] = {"train": trainer.train_dataloader}
    validation = trainer.val_dataloaders
    if isinstance(validation, (list, tuple)):
        validation = validation[0] if validation else None
    if validation is not None:
        found["test"] = validation
    return found


def _share_of(loader: Any, rank: int, world_size: int) -> DataLoader:
    """A loader over every ``world_size``-th sample, in order; DDP samplers would pad."""
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=range(rank, len(loader.dataset), world_size),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
    )


def fine_hierarchy(features: Features, group: Group) -> Tensor:
    """The coarse class of each fine class, (F,) int64, read off the labels of all ranks.

    Raises:
        ValueError: Samples of one fine class carry different coarse labels.
    """
    fine, coarse = features.fine, features.coarse
    if fine is None:
        raise ValueError("there are no fine labels to read a hierarchy from")
    size = fine.max().add(1).reshape(1) if len(fine) else fine.new_zeros(1)
    _reduce_max(size, group)
    fine_to_coarse = torch.full((int(size),), -1, device=fine.device)
    fine_to_coarse[fine] = coarse
    _reduce_max(fine_to_coarse, group)
    astray = (fine_to_coarse[fine] != coarse).any().long().reshape(1)
    _reduce_max(astray, group)
    if int(astray):
        raise ValueError("samples of one fine class carry different coarse labels")
    return fine_to_coarse


def _reduce_max(tensor: Tensor, group: Group) -> None:
    if group is not None:
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=group)
