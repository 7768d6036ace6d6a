"""What every monitor does: wait for its epoch, read the clean pass, log what it measured."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from collapse_lit.callbacks.clean_pass import (
    Loaders,
    clean_features,
    forget_features,
    measuring_group,
)
from collapse_lit.errors import UserError
from collapse_lit.features import Features, View, find_layer
from collapse_lit.measure.distributed import Group


class Monitor(L.Callback):
    """Base of the callbacks that measure features at the end of an epoch.

    Works in any Lightning project: with any ``LightningModule`` whose forward pass takes a batch's
    inputs alone, and any data. Also measures in ``Trainer.validate``.

    Attributes:
        values: What the last measured epoch gave, in float64, by metric name.
        measured_epoch: That epoch, or -1.
        views: What it reads beside the images of a split, "train" or "test".
        pictures: Arrays of the last measured epoch that figures are drawn from, the same on all
            ranks.
    """

    shown_in_progress_bar: tuple[str, ...] = ()

    def __init__(
        self, layer: str = "head", every_n_epochs: int = 1, loaders: Loaders | None = None
    ) -> None:
        if every_n_epochs < 1:
            raise UserError(f"every_n_epochs must be at least 1, not {every_n_epochs}")
        self.layer = layer
        self.layers: tuple[str, ...] = ()
        self.views: Mapping[str, tuple[View, ...]] = {}
        self.every_n_epochs = every_n_epochs
        self.loaders = loaders
        self.values: dict[str, float] = {}
        self.measured_epoch = -1
        self.pictures: dict[str, Any] = {}
        self._warned = False

    def measure(
        self, splits: dict[str, Features], head: nn.Module, group: Group
    ) -> dict[str, float]:
        """Measure the splits ("train" and, where there is one, "test"); the same on every rank.

        Raises:
            UserError: What was asked cannot be measured on these data; ends the training.
            ValueError: These features allow no measurement now; on every rank or on none.
        """
        raise NotImplementedError

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Free the features of the last pass: training needs the memory."""
        forget_features(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure every ``every_n_epochs`` epochs, and after the last one."""
        done = trainer.current_epoch + 1
        if done % self.every_n_epochs == 0 or done == trainer.max_epochs:
            self._run(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure in ``Trainer.validate``; within training the end of the epoch is the place."""
        if trainer.state.fn == "validate":
            self._run(trainer, pl_module)

    def _run(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        monitors = monitors_of(trainer)
        also = sorted({path for monitor in monitors for path in monitor.layers})
        views = {
            split: tuple(dict.fromkeys(v for m in monitors for v in m.views.get(split, ())))
            for split in ("train", "test")
        }
        splits = clean_features(trainer, pl_module, self.layer, also, views, self.loaders)
        head = find_layer(pl_module, self.layer)
        try:
            self.values = self.measure(splits, head, measuring_group(trainer))
        except UserError:
            raise
        except ValueError as error:
            self.values = dict.fromkeys(self.values, math.nan)
            if not self._warned:
                warnings.warn(f"{type(self).__name__}: {error}; logging nan", stacklevel=2)
                self._warned = True
        self.measured_epoch = trainer.current_epoch
        for name, value in self.values.items():
            # Every rank has the same value; Lightning would ask each time whether to reduce it.
            pl_module.log(
                name,
                value,
                prog_bar=name in self.shown_in_progress_bar,
                sync_dist=True,
                reduce_fx="max",
            )


def monitors_of(trainer: L.Trainer) -> list[Monitor]:
    """The monitors among a trainer's callbacks, in their order."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
    return [callback for callback in callbacks if isinstance(callback, Monitor)]


def linear_head(head: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight (C, d) and bias (C,) of a linear last layer; None, None for any other module."""
    if isinstance(head, nn.Linear):
        bias = head.bias
        return head.weight.detach().float(), None if bias is None else bias.detach().float()
    return None, None


def count_classes(features: Features, head: nn.Module, group: Group) -> int:
    """Number of coarse classes: outputs of a linear head, else one more than the largest label."""
    if isinstance(head, nn.Linear) and head.out_features > 1:
        return head.out_features
    largest = features.coarse.max().reshape(1)
    if group is not None:
        torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX, group=group)
    return int(largest) + 1
