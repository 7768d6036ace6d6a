"""Write checkpoint, history and summary in an order that survives a kill at any moment."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info

from collapse_lit.callbacks.monitor import Monitor, monitors_of
from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.metrics import LOSS
from collapse_lit.tracking.run_directory import Row, RunDirectory
from collapse_lit.tracking.weights_and_biases import RunLogger
from collapse_lit.tracking.whole_files import write_json

OF_COARSE_CLASSES = ("space", "acc_of_coarse")  # lists, one entry a coarse class: history only


class RunRecorder(ModelCheckpoint):
    """Writes the run directory so that a kill at any moment loses only the current epoch.

    At the end of an epoch, the checkpoint is written first and contains the epoch's history row.
    Then the row is appended to ``history.jsonl``. After a kill in between, the resumed run appends
    the row from the checkpoint, even if no epoch is left to train. So no row is missing or
    duplicate.

    Args:
        run: The run directory.
        every_n_epochs: Number of epochs between kept checkpoints ``epoch_NNN.ckpt``. ``last.ckpt``
            is written after each epoch.
    """

    def __init__(self, run: RunDirectory, every_n_epochs: int = 10) -> None:
        super().__init__(
            dirpath=run.checkpoints,
            filename="epoch_{epoch:03d}",
            auto_insert_metric_name=False,
            save_top_k=-1,
            every_n_epochs=every_n_epochs,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.run = run
        self.row: Row = {}
        self.epoch = -1
        self.loss: float | None = None
        self.seconds_before = 0.0
        self.started = time.monotonic()

    @property
    def state_key(self) -> str:
        """One key for all options, so that options may change between starts."""
        return "RunRecorder"

    def state_dict(self) -> dict[str, Any]:
        """The last measured row, the epoch's loss and the training time so far, in plain types."""
        return {"row": self.row, "loss": self.loss, "wall_seconds": self.wall_seconds}

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the checkpoint's epoch, because the last measured epoch may be older."""
        self.epoch = checkpoint["epoch"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of the checkpoint."""
        self.row = state_dict["row"]
        self.loss = state_dict.get("loss")
        if self.loss is None and self.row.get("epoch") == self.epoch:
            self.loss = self.row.get(LOSS)  # older checkpoints have the loss only there
        self.seconds_before = state_dict["wall_seconds"]
        self.started = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """Seconds spent in training and measuring, over all starts of this run."""
        return self.seconds_before + time.monotonic() - self.started

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Resolve the directory, without Lightning's warning about earlier checkpoints in it."""
        kept, self.save_top_k = self.save_top_k, 0
        super().setup(trainer, pl_module, stage)
        self.save_top_k = kept

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Bring the history, the summary and W&B to the state of the checkpoint."""
        self.started = time.monotonic()
        if trainer.is_global_zero:
            lost = self.run.forget_history_after(self.epoch)
            if lost:
                rank_zero_info(
                    f"{lost} epochs in {self.run.history} are newer than the checkpoint and will "
                    "be repeated"
                )
            if self.row:
                self.run.append_history(self.row)
                self._write_summary()
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.catch_up(self.run.read_history())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write snapshot, checkpoint, history and summary, in this order."""
        measured = self._take_row(trainer)
        self._keep_pictures(trainer, measured)
        super().on_train_epoch_end(trainer, pl_module)
        # Lightning's save_last would write it only at the kept epochs.
        trainer.save_checkpoint(self.run.last_checkpoint, weights_only=False)
        self._keep_row(trainer, measured)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the measures of ``Trainer.validate`` for a network that is not trained."""
        if trainer.state.fn == "validate":
            measured = self._take_row(trainer)
            self._keep_pictures(trainer, measured)
            self._keep_row(trainer, measured)

    def _take_row(self, trainer: L.Trainer) -> list[Monitor]:
        """Set the row to the measures of this epoch, if any; return the monitors that measured."""
        measured = [m for m in monitors_of(trainer) if m.measured_epoch == trainer.current_epoch]
        if trainer.state.fn != "validate":
            loss = trainer.callback_metrics.get(LOSS)  # a collective, so on all ranks
            self.loss = None if loss is None else float(loss)
            self.epoch = trainer.current_epoch
        if measured:
            self.row = {"epoch": trainer.current_epoch}
            if self.loss is not None and self.epoch == trainer.current_epoch:
                self.row[LOSS] = self.loss
            for monitor in measured:
                self.row |= monitor.values
                for key in OF_COARSE_CLASSES:
                    if key in monitor.pictures:
                        self.row[f"recovery/{key}"] = monitor.pictures[key]
        return measured

    def _keep_pictures(self, trainer: L.Trainer, measured: list[Monitor]) -> None:
        """Write the snapshot of the measured epoch on rank 0."""
        if measured and trainer.is_global_zero:
            pictures = names_of_classes(trainer)
            for monitor in measured:
                pictures |= monitor.pictures
            self.run.write_snapshot(trainer.current_epoch, pictures)

    def _keep_row(self, trainer: L.Trainer, measured: list[Monitor]) -> None:
        """Write history and summary of the measured epoch on rank 0."""
        if measured and trainer.is_global_zero:
            rows = self.run.read_history()
            if trainer.state.fn == "validate" and rows and rows[-1]["epoch"] == self.row["epoch"]:
                # Not all monitors have measured the epoch yet. After a kill here, it is measured
                # again.
                self.run.forget_history_after(self.row["epoch"] - 1)
            self.run.append_history(self.row)
            self._write_summary()

    def _write_summary(self) -> None:
        rows = self.run.read_history()
        summary = {
            **rows[-1],
            "wall_seconds": round(self.wall_seconds, 1),
            "selected": select_epoch(rows),
        }
        write_json(self.run.summary, summary)


def names_of_classes(trainer: L.Trainer) -> dict[str, Any]:
    """Names of fine and coarse classes, if the data module has a hierarchy."""
    hierarchy = getattr(getattr(trainer, "datamodule", None), "hierarchy", None)
    if hierarchy is None:
        return {}
    return {
        "fine_names": list(hierarchy.fine_names),
        "coarse_names": list(hierarchy.coarse_names),
    }
