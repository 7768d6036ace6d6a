"""Writes down what was measured: checkpoint, history, summary, in an order no kill can break."""

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
    """Keeps a run directory such that a kill at any moment loses nothing but the epoch under way.

    At the end of an epoch the checkpoint is written before the history, and it carries the epoch's
    history row; the row is appended to ``history.jsonl`` after that. Killed in between, the resumed
    run finds the row in the checkpoint and appends it then, also if no epoch is left to train: none
    is missing, none is there twice.

    Args:
        run: Where everything goes.
        every_n_epochs: Keep ``epoch_NNN.ckpt`` every that many epochs. ``last.ckpt`` is written
            after each one.
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
        """One key whatever the options, so that they may change between starts."""
        return "RunRecorder"

    def state_dict(self) -> dict[str, Any]:
        """The last measured row, the epoch's loss and the training time so far, in plain types."""
        return {"row": self.row, "loss": self.loss, "wall_seconds": self.wall_seconds}

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the checkpoint's epoch: the last measured one may be older."""
        self.epoch = checkpoint["epoch"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint was written."""
        self.row = state_dict["row"]
        self.loss = state_dict.get("loss")
        if self.loss is None and self.row.get("epoch") == self.epoch:
            self.loss = self.row.get(LOSS)  # checkpoints of before have it there alone
        self.seconds_before = state_dict["wall_seconds"]
        self.started = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """Seconds spent in training and measuring, over all starts of this run."""
        return self.seconds_before + time.monotonic() - self.started

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Resolve the directory; that it holds earlier checkpoints is no cause for a warning."""
        kept, self.save_top_k = self.save_top_k, 0
        super().setup(trainer, pl_module, stage)
        self.save_top_k = kept

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Bring the history, the summary and W&B to where the checkpoint is."""
        self.started = time.monotonic()
        if trainer.is_global_zero:
            lost = self.run.forget_history_after(self.epoch)
            if lost:
                rank_zero_info(
                    f"{lost} epochs of {self.run.history} lie beyond the checkpoint and are redone"
                )
            if self.row:
                self.run.append_history(self.row)
                self._write_summary()
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.catch_up(self.run.read_history())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Snapshot, then checkpoint, then history, then summary."""
        measured = self._take_row(trainer)
        self._keep_pictures(trainer, measured)
        super().on_train_epoch_end(trainer, pl_module)
        # Lightning's save_last would write it only in the epochs that are kept as well.
        trainer.save_checkpoint(self.run.last_checkpoint, weights_only=False)
        self._keep_row(trainer, measured)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep what ``Trainer.validate`` measured of a network that is not trained."""
        if trainer.state.fn == "validate":
            measured = self._take_row(trainer)
            self._keep_pictures(trainer, measured)
            self._keep_row(trainer, measured)

    def _take_row(self, trainer: L.Trainer) -> list[Monitor]:
        """Set the row to what was measured in this epoch, if anything was, and say by whom."""
        measured = [m for m in monitors_of(trainer) if m.measured_epoch == trainer.current_epoch]
        if trainer.state.fn != "validate":
            loss = trainer.callback_metrics.get(LOSS)  # a collective: on all ranks
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
        """Snapshot of the measured epoch, from rank 0."""
        if measured and trainer.is_global_zero:
            pictures = names_of_classes(trainer)
            for monitor in measured:
                pictures |= monitor.pictures
            self.run.write_snapshot(trainer.current_epoch, pictures)

    def _keep_row(self, trainer: L.Trainer, measured: list[Monitor]) -> None:
        """History and summary of the measured epoch, from rank 0."""
        if measured and trainer.is_global_zero:
            rows = self.run.read_history()
            if trainer.state.fn == "validate" and rows and rows[-1]["epoch"] == self.row["epoch"]:
                # Not all monitors had measured it. After a kill in between it is measured again.
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
    """Names of fine and coarse classes, where the data module knows its hierarchy."""
    hierarchy = getattr(getattr(trainer, "datamodule", None), "hierarchy", None)
    if hierarchy is None:
        return {}
    return {
        "fine_names": list(hierarchy.fine_names),
        "coarse_names": list(hierarchy.coarse_names),
    }
