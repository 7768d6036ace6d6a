"""Adapt a user's Lightning callbacks to measured epochs and to the run directory."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from collapse_lit.callbacks.monitor import monitors_of
from collapse_lit.errors import UserError, did_you_mean


def take_in(callbacks: list[L.Callback], folder: Path) -> None:
    """Adapt a user's callbacks to a run.

    Args:
        callbacks: Callbacks that the user added to the trainer.
        folder: Default folder of a ``ModelCheckpoint``. It differs from the run's own folder,
            because ``save_last`` also writes a ``last.ckpt``.
    """
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint):
            if callback.dirpath is None:
                callback.dirpath = str(folder)
            if not callback._every_n_train_steps and callback._train_time_interval is None:
                _skip_unmeasured(callback, "_should_skip_saving_checkpoint")
        elif isinstance(callback, EarlyStopping):
            _skip_unmeasured(callback, "_should_skip_check")


def users_own(callbacks: list[L.Callback]) -> list[L.Callback]:
    """The trainer's callbacks that do not belong to collapse-lit."""
    return [one for one in callbacks if not type(one).__module__.startswith("collapse_lit.")]


def _skip_unmeasured(callback: Any, name: str) -> None:
    """Make a callback skip epochs without a value of its monitored key.

    Lightning keeps the last value of every key, so a callback would use an old value. Before the
    first value, it would end training.
    """
    skips = getattr(callback, name)
    setattr(
        callback,
        name,
        lambda trainer: skips(trainer) or not has_a_value(trainer, callback),
    )


def has_a_value(trainer: L.Trainer, callback: Any) -> bool:
    """Whether this epoch has its own value of the key that a callback monitors.

    Raises:
        UserError: Every monitor has measured, and none has this key.
    """
    key, monitors = callback.monitor, monitors_of(trainer)
    if key is None:
        return True
    for monitor in monitors:
        if key in monitor.promised:
            return monitor.measured_epoch == trainer.current_epoch
    known = trainer.callback_metrics
    if key in known:
        return True
    if any(monitor.measured_epoch < 0 for monitor in monitors):
        return False
    if not getattr(callback, "strict", True):  # the user allows the key to be missing
        return True
    raise UserError(
        f"trainer.callbacks: {type(callback).__name__} monitors {key!r}, which is not measured"
        f"{did_you_mean(key, known)}; the keys are {', '.join(sorted(known))}"
    )
