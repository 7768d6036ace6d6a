"""Lightning's callbacks as a user adds them: measured epochs and the run's folder are theirs."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from collapse_lit.callbacks.monitor import monitors_of
from collapse_lit.errors import UserError, did_you_mean


def take_in(callbacks: list[L.Callback], folder: Path) -> None:
    """Fit a user's callbacks into a run.

    Args:
        callbacks: What the user added to the trainer.
        folder: Where a ``ModelCheckpoint`` writes that was given no folder. It is none of the run's
            own: with ``save_last`` it writes a ``last.ckpt`` too.
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
    """Those of a trainer's callbacks that are not the project's."""
    return [one for one in callbacks if not type(one).__module__.startswith("collapse_lit.")]


def _skip_unmeasured(callback: Any, name: str) -> None:
    """Let a callback pass over epochs without a value of the key that it monitors.

    Lightning keeps the last value of every key: a callback would take it for the epoch's own.
    Before the first value, it would end the training.
    """
    skips = getattr(callback, name)
    setattr(
        callback,
        name,
        lambda trainer: skips(trainer) or not has_a_value(trainer, callback),
    )


def has_a_value(trainer: L.Trainer, callback: Any) -> bool:
    """Whether this epoch has a value of its own under the key that a callback monitors.

    Raises:
        UserError: Every monitor has measured, and there is no such key.
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
    if not getattr(callback, "strict", True):  # its user allows the key to be missing
        return True
    raise UserError(
        f"trainer.callbacks: {type(callback).__name__} monitors {key!r}, which nothing measures"
        f"{did_you_mean(key, known)}; there are {', '.join(sorted(known))}"
    )
