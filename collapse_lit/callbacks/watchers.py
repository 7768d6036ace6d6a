"""Check that callbacks and schedulers read a monitor's key only after it is measured."""

from collections.abc import Container
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from collapse_lit.errors import UserError


def check_watchers(trainer: L.Trainer, keys: Container[str], every_n_epochs: int) -> None:
    """Check that ``keys`` are read after they are measured, and in measured epochs only.

    Lightning keeps the last value of a key. A callback that reads too early, or between two
    measurements, would use an old value or stop at a nan.

    Raises:
        UserError: Early stopping, a checkpoint or a scheduler would read too early or too often.
    """
    stopping: list[Any] = trainer.early_stopping_callbacks
    for callback in stopping:
        # `fit` makes it skip epochs that are not measured
        if callback.monitor not in keys or "_should_skip_check" in vars(callback):
            continue
        _refuse_gaps("EarlyStopping", callback.monitor, every_n_epochs)
        if not callback._check_on_train_epoch_end:
            raise UserError(
                f"EarlyStopping reads {callback.monitor} before the epoch is measured; pass it "
                "check_on_train_epoch_end=True"
            )
    for callback in trainer.checkpoint_callbacks:
        if (
            isinstance(callback, ModelCheckpoint)
            and callback.monitor in keys
            and not callback._should_save_on_train_epoch_end(trainer)
        ):
            raise UserError(
                f"ModelCheckpoint reads {callback.monitor} before the epoch is measured; pass it "
                "save_on_train_epoch_end=True"
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
            f"{who} reads {key} at each epoch, but it is measured every {every_n_epochs} epochs; "
            "set every_n_epochs=1"
        )
