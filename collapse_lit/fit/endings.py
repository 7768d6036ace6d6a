"""Training that ends before ``max_epochs``: after complete epochs, and with a reason."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelSummary, ProgressBar
from lightning.pytorch.callbacks.timer import Timer

from collapse_lit.callbacks.last_epoch import UNLIMITED, ends_now, out_of_steps, stops_early
from collapse_lit.errors import UserError
from collapse_lit.fit.users_own import users_own

MAX_TIME = "trainer.max_time"


class EpochCutError(Exception):
    """Training ended in the middle of an epoch, which is discarded."""


class Endings(L.Callback):
    """Lets training end only after complete epochs, and reports why it ended.

    ``max_steps``, ``max_time`` and callbacks can end training in the middle of an epoch. Lightning
    then calls the hooks of the epoch's end as if the epoch were complete. This callback comes
    first, and ends training before another callback measures or saves the epoch. The next start
    repeats the epoch.

    If a callback ends training after a complete epoch, the run is done. The checkpoint records
    this, and the same command trains nothing. Other callbacks or callback options, or a larger
    ``max_epochs``, continue the run.

    Args:
        asked: The user's options of the trainer's callbacks, in plain types.
    """

    def __init__(self, asked: Any = None) -> None:
        self.asked = json.dumps(asked, sort_keys=True, default=str)
        self.done: dict[str, Any] | None = None
        self._said, self._trained = "", False
        self._trainer: L.Trainer | None = None
        self._patience: dict[EarlyStopping, int] = {}

    @property
    def state_key(self) -> str:
        """One key for all options, so that options may change between starts."""
        return "Endings"

    def state_dict(self) -> dict[str, Any]:
        """The callback that ended training with the saved epoch, if any."""
        trainer = self._trainer
        if trainer is not None and stops_early(trainer):
            by = stopped_by(trainer)
            if by != MAX_TIME:  # the timer saves its own state
                self.done = {
                    "said": f"stopped early at epoch {trainer.current_epoch} by {by}",
                    "asked": self.asked,
                    "max_epochs": trainer.max_epochs,
                }
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the callback that ended training, if any."""
        self.done = state_dict["done"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Note the options of early stopping before the checkpoint's options replace them."""
        if stage == "fit":
            self._trainer = trainer
            self._patience = {one: one.patience for one in early_stoppings(trainer)}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train nothing if training was done and the request is unchanged."""
        for stopping, patience in self._patience.items():
            stopping.patience = patience
        if self.done is not None and self._asks_for_more(trainer, self.done):
            self.done = None
        trainer.should_stop = trainer.should_stop or self.done is not None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check that ``max_steps`` allows at least one more epoch.

        Raises:
            UserError: It does not, and no epoch is complete yet.
            EpochCutError: It does not, and earlier epochs are complete.
        """
        self._trained = True
        steps = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        if trainer.max_steps == UNLIMITED or trainer.global_step + steps <= trainer.max_steps:
            return
        limit, done = f"trainer.max_steps={trainer.max_steps}", trainer.current_epoch
        if done == 0:
            raise UserError(
                f"{limit}: an epoch has {steps} steps, so no epoch would be complete; set {steps} "
                "or "
                "more"
            )
        self._said = _goes_on(f"stopped by {limit} after epoch {done - 1}", done, limit)
        raise EpochCutError

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the training here if the epoch was cut short.

        Raises:
            EpochCutError: It was.
            UserError: It was, and no earlier epoch is complete.
        """
        if not is_cut(trainer):
            return
        by, done = stopped_by(trainer), trainer.current_epoch
        if done == 0:
            raise UserError(
                f"stopped by {by} during the first epoch: no epoch is complete, so nothing is "
                "kept. Train for at least one epoch"
            )
        self._said = _goes_on(f"stopped by {by} during epoch {done}", done, by)
        raise EpochCutError

    def tell(self, trainer: L.Trainer, done: int) -> None:
        """Print in one line why training ended, unless ``max_epochs`` was reached.

        Args:
            trainer: The trainer after training.
            done: Number of complete epochs.
        """
        said = self._said
        if done == trainer.max_epochs and not self._trained:
            said = (
                f"this run is done: {_epochs(done)} trained. Raise trainer.max_epochs to continue"
            )
        elif self.done is not None:
            said = (
                f"{self.done['said']}; {_epochs(done)} done. To continue, change the early "
                "stopping in trainer.callbacks, or raise trainer.max_epochs"
            )
        elif not said and done != trainer.max_epochs and ends_now(trainer):
            by = stopped_by(trainer)
            said = _goes_on(f"stopped by {by} after epoch {done - 1}", done, by)
        if said and trainer.is_global_zero:
            print(f"collapse-lit: {said}", file=sys.stderr, flush=True)

    def _asks_for_more(self, trainer: L.Trainer, done: Mapping[str, Any]) -> bool:
        longer = trainer.max_epochs == UNLIMITED or (trainer.max_epochs or 0) > done["max_epochs"]
        return longer or done["asked"] != self.asked


def is_cut(trainer: L.Trainer) -> bool:
    """At the end of an epoch: whether training ends although batches are left."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    whole = progress.is_last_batch or progress.current.ready >= trainer.num_training_batches
    return not whole and ends_now(trainer)


def stopped_by(trainer: L.Trainer) -> str:
    """The cause that ends training, by a name that the user knows."""
    if out_of_steps(trainer) and not stops_early(trainer):
        return f"trainer.max_steps={trainer.max_steps}"
    for stopping in early_stoppings(trainer):
        told = stopping.stopping_reason_message is not None
        if told and stopping.stopped_epoch == trainer.current_epoch:
            return f"{type(stopping).__name__} on {stopping.monitor}"
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
    for callback in callbacks:
        remaining = callback.time_remaining() if isinstance(callback, Timer) else None
        if remaining is not None and remaining <= 0:
            return MAX_TIME
    no_stoppers = (Checkpoint, ModelSummary, ProgressBar)
    names = [
        type(callback).__name__
        for callback in users_own(callbacks)
        if not isinstance(callback, no_stoppers)
    ]
    return f"a callback ({', '.join(names)})" if names else "a callback"


def early_stoppings(trainer: L.Trainer) -> list[EarlyStopping]:
    """The trainer's ``EarlyStopping`` callbacks."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
    return [callback for callback in callbacks if isinstance(callback, EarlyStopping)]


def _goes_on(ended: str, done: int, by: str) -> str:
    limit = by.split("=")[0]
    how = f"with a larger {limit} " if limit.startswith("trainer.") else ""
    return f"{ended}; {_epochs(done)} done. Run the same command {how}to continue"


def _epochs(count: int) -> str:
    return "1 complete epoch is" if count == 1 else f"{count} complete epochs are"
