"""Figures of the current run, in the run directory and in its loggers."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from collapse_lit.callbacks.last_epoch import is_last_epoch
from collapse_lit.callbacks.own_report import SHARE_OF_TIME
from collapse_lit.fit.thumbnails import keep_thumbnails
from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.report.figures import run_figures, save_figure
from collapse_lit.tracking.other_loggers import show_figures
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.weights_and_biases import RunLogger


class RunPictures(Checkpoint):
    """Redraws ``figures/*.png`` during training, sends them to loggers, and writes thumbnails once.

    Lightning treats this as a checkpoint callback, which runs last at the end of an epoch. The
    history is then already written. A figure that fails causes one warning.

    Args:
        run: Directory of the history and the figures.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.drawing = 0.0
        self._warned = False
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw on rank 0 within the time limit."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._summarise(trainer)
        self._try(keep_thumbnails, self.run, trainer)
        if is_last_epoch(trainer) or self.drawing <= SHARE_OF_TIME * (
            time.monotonic() - self.started
        ):
            before = time.monotonic()
            self._try(self._draw, trainer)
            self.drawing += time.monotonic() - before

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the thumbnails when a network is measured without training."""
        if trainer.state.fn == "validate" and trainer.is_global_zero:
            self._try(keep_thumbnails, self.run, trainer)

    def _summarise(self, trainer: L.Trainer) -> None:
        """Update W&B's summary at every epoch, because a run may be killed at any time."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, RunLogger)]
        for logger in loggers:
            logger.summarise(self.run.read_history())

    def _try(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            if not self._warned:
                warnings.warn(f"could not draw the figures: {error!r}", stacklevel=3)
            self._warned = True

    def _draw(self, trainer: L.Trainer) -> None:
        history = self.run.read_history()
        paths = {}
        snapshots = self.run.read_snapshots()
        for name, figure in run_figures(history, snapshots, select_epoch(history)):
            paths[f"figures/{name}"] = self.run.figures / f"{name}.png"
            save_figure(figure, paths[f"figures/{name}"])
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger) and paths:
                logger.log_figures(paths, trainer.current_epoch, trainer.global_step)
            else:
                show_figures(logger, paths, trainer.current_epoch)
