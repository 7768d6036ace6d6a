"""Progress output for a terminal and for a log file."""

import sys
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, ModelSummary, RichProgressBar

from collapse_lit.callbacks.monitor import monitors_of
from collapse_lit.metrics import LOSS, columns


def progress_callback() -> L.Callback:
    """A live bar in a terminal; one line per epoch if the output goes to a file or a pipe."""
    return MeasuredBar() if sys.stdout.isatty() else EpochLines()


class MeasuredBar(RichProgressBar):
    """Shows measured values only during the next epoch; Lightning would keep showing them."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """The values of the bar, without those of monitors that skipped the last epoch."""
        shown = super().get_metrics(trainer, pl_module)
        for monitor in monitors_of(trainer):
            if monitor.measured_epoch < trainer.current_epoch - 1:
                for key in monitor.values:
                    shown.pop(key, None)
        return shown


class NetworkSize(ModelSummary):
    """Prints one line instead of Lightning's table, whose FLOPs and modes are not useful here."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the number of parameters on rank 0."""
        count = sum(p.numel() for p in pl_module.parameters())
        if trainer.is_global_zero:
            print(f"The network has {count:,} parameters.", flush=True)


class EpochLines(Checkpoint):
    """Prints the epoch's loss and measures after all monitors have run."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print one line on rank 0."""
        values = epoch_values(trainer)
        shown = columns("progress")
        found = [f"{name} {values[key]:.4g}" for key, name in shown.items() if key in values]
        epoch = trainer.current_epoch
        if trainer.is_global_zero:
            print(
                f"epoch {epoch:>3} ({epoch + 1} of {trainer.max_epochs})  {'  '.join(found)}",
                flush=True,
            )


def epoch_values(trainer: L.Trainer) -> dict[str, float]:
    """The loss and measures of the current epoch, without the older values that Lightning keeps.

    Under DDP this is a collective: all ranks must call it.
    """
    loss = trainer.callback_metrics.get(LOSS)
    values = {} if loss is None else {LOSS: float(loss)}
    for monitor in monitors_of(trainer):
        if monitor.measured_epoch == trainer.current_epoch:
            values |= monitor.values
    return values
