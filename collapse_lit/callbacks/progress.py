"""Progress for a person at a terminal, and for a log file."""

import sys

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar

SHOWN = {
    "train/loss": "loss",
    "train/acc_coarse": "train acc",
    "test/acc_coarse": "test acc",
    "collapse/nc1": "NC1",
    "recovery/acc": "recovery train",
    "recovery/clp_test": "recovery test",
    "recovery/stability": "stability",
}


def progress_callback() -> L.Callback:
    """A live bar in a terminal; one line an epoch where the output goes to a file or a pipe."""
    return RichProgressBar() if sys.stdout.isatty() else EpochLines()


class EpochLines(Checkpoint):
    """Prints the main numbers of each measured epoch, after all monitors have logged theirs."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print one line on rank 0."""
        metrics = trainer.callback_metrics  # a collective under DDP: on all ranks
        found = [f"{name} {metrics[key]:.4g}" for key, name in SHOWN.items() if key in metrics]
        if trainer.is_global_zero:
            print(
                f"epoch {trainer.current_epoch:>3} of {trainer.max_epochs}  {'  '.join(found)}",
                flush=True,
            )
