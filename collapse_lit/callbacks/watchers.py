"""Callbacks and schedulers that watch a key of a monitor: whether it has a value when they look."""

from collections.abc import Container
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from collapse_lit.errors import UserError


def check_watchers(trainer: L.Trainer, keys: Container[str], every_n_epochs: int) -> None:
    """See that what watches ``keys`` looks after they are measured, and in measured epochs only.

    Lightning keeps the last value of a key. Who looks too early, or between two measurements,
    takes an old value for a new one, or stops at a nan.

    Raises:
        UserError: Early stopping, a checkpoint or a learning rate would.
    """
    stopping: list[Any] = trainer.early_stopping_callbacks
    for callback in stopping:
        # `fit` lets it pass over epochs that are not measured
        if callback.monitor not in keys or "_should_skip_check" in vars(callback):
            continue
        _refuse_gaps("EarlyStopping", callback.monitor, every_n_epochs)
        if not callback._check_on_train_epoch_end:
            raise UserError(
                f"EarlyStopping on {callback.monitor} looks before the epoch is measured; pass "
                "check_on_train_epoch_end=True to it"
            )
    for callback in trainer.checkpoint_callbacks:
        if (
            isinstance(callback, ModelCheckpoint)
            and callback.monitor in keys
            and not callback._should_save_on_train_epoch_end(trainer)
        ):
            raise UserError(
                f"ModelCheckpoint on {callback.monitor} looks before the epoch is measured; pass "
                "save_on_train_epoch_end=True to it"
            )
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.monitor in keys:
            kind = type(config.scheduler).__name__
            _refuse_gaps(kind, str(config.monitor), every_n_epochs)
            if config.interval != "epoch":
                raise UserError(f"{kind} on {config.monitor} needs interval='epoch'")


def _refuse_gaps(who: str, key: str, every_n_epochs: int) -> None:
    if every_n_epochs > 1:
        raise UserError(
            f"{who} on {key} needs it at each epoch, and it is measured every {every_n_epochs}; "
            "set every_n_epochs=1"
        )
