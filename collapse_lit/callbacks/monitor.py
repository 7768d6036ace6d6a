"""The base of all monitors: wait for the epoch, read the clean pass, measure and log."""

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch

from collapse_lit.callbacks.asked import Asked, joined_views
from collapse_lit.callbacks.clean_pass import clean_features, forget_features, measuring_group
from collapse_lit.callbacks.kept_weights import kept_fingerprint, let_average_before
from collapse_lit.callbacks.last_epoch import is_last_epoch
from collapse_lit.callbacks.loaders import Loaders, check_functions
from collapse_lit.callbacks.own_report import OwnReport, draw_reports, finish_reports, keep_reports
from collapse_lit.callbacks.watchers import check_watchers
from collapse_lit.errors import UserError
from collapse_lit.features import Features, View
from collapse_lit.measure.distributed import Group, max_over_ranks
from collapse_lit.reading.batches import TakeApart


class Monitor(L.Callback):
    """Base of the callbacks that measure features at the end of an epoch.

    A monitor works in any Lightning project, with any ``LightningModule`` and any data, and also in
    ``Trainer.validate``. Most mistakes raise an error before the first training batch. A later
    failure is logged as nan with a warning, and training continues.

    Args:
        layer, every_n_epochs, loaders, batch, name, report: As for ``CollapseMonitor``.

    Attributes:
        values: Measures of the last measured epoch, in float64, by key.
        measured_epoch: The last measured epoch, or -1.
        promised: All keys that the monitor will log.
        splits: Features of the last measured epoch; empty once training continues.
        stands: Whether the last measurement stays valid for ``Trainer.validate``.
        views: Views that are read with the images, by split ("train" or "test").
        pictures: Arrays of the last measured epoch for the figures, the same on all ranks.
    """

    shown_in_progress_bar: tuple[str, ...] = ()

    def __init__(
        self,
        layer: str = "head",
        every_n_epochs: int = 1,
        loaders: Loaders | None = None,
        batch: TakeApart | None = None,
        name: str = "",
        report: str | Path | None = None,
    ) -> None:
        if every_n_epochs < 1:
            raise UserError(f"every_n_epochs must be at least 1, not {every_n_epochs}")
        check_functions(loaders=loaders, batch=batch)
        self.layer = layer
        self.layers: tuple[str, ...] = ()
        self.views: Mapping[str, tuple[View, ...]] = {}
        self.every_n_epochs = every_n_epochs
        self.loaders = loaders
        self.batch = batch
        self.name = name
        self.values: dict[str, float] = {}
        self.measured_epoch = -1
        self.pictures: dict[str, Any] = {}
        self.promised: tuple[str, ...] = ()
        self._measured_weights = ""
        self._has_trained = False
        self.report = None if report is None else OwnReport(report)
        self.splits: dict[str, Features] = {}
        self.stands = False
        self._told: set[str] = set()

    def keys(self, splits: Mapping[str, Features]) -> tuple[str, ...]:
        """All keys that :meth:`measure` returns for these splits, even if their value is nan."""
        raise NotImplementedError

    def check(self, first: Mapping[str, Features]) -> None:
        """Check on the first batch of each split that the request can be measured.

        Raises:
            UserError: It cannot be measured; the message says what to pass.
        """

    def measure(self, splits: dict[str, Features], group: Group) -> dict[str, float]:
        """Measure the available splits ("train", "test"); the result is the same on every rank.

        Raises:
            ValueError: These features cannot be measured; raised on every rank or on none.
        """
        raise NotImplementedError

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Check that no other monitor logs the same keys, and run after weights are averaged.

        Raises:
            UserError: Another monitor logs the same keys.
        """
        alike = [m for m in monitors_of(trainer) if type(m) is type(self) and m.name == self.name]
        if len(alike) > 1:
            raise UserError(
                f"{len(alike)} monitors of type {type(self).__name__} would log the same keys; "
                "give all but one a name=, which becomes a prefix of the keys"
            )
        let_average_before(trainer, monitors_of(trainer)[0])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Try a measurement on the first batch of each split, before any training.

        Raises:
            UserError: The request cannot be measured.
        """
        self._rehearse(trainer, pl_module)
        check_watchers(trainer, self.promised, self.every_n_epochs)
        for key in self.promised:  # a monitored key is nan until an epoch is measured
            trainer.callback_metrics.setdefault(key, torch.tensor(math.nan))
        if self.report is not None and trainer.is_global_zero:
            self.report.start(trainer.current_epoch)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same before ``Trainer.validate``."""
        if trainer.state.fn == "validate" and not self.stands:
            self._rehearse(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Free the features of the last pass, because training needs the memory."""
        self._has_trained = True
        self.splits = {}
        forget_features(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure every ``every_n_epochs`` epochs, and the last epoch if it is known to be the
        last.
        """
        if self.is_due(trainer):
            self._run(trainer, pl_module)
            due = [monitor for monitor in monitors_of(trainer) if monitor.is_due(trainer)]
            keep_reports(trainer, monitors_of(trainer), self.measured_epoch, draw=self is due[-1])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure in ``Trainer.validate``; in training, the end of the epoch measures instead."""
        if trainer.state.fn == "validate" and not self.stands:
            self._run(trainer, pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the final network, unless the last measurement already did.

        Training may end unexpectedly, for example by early stopping. A callback may also change the
        weights at the end, for example by averaging them.
        """
        if not self._has_trained:
            return
        self._has_trained = False
        epoch = trainer.current_epoch - 1
        weights = kept_fingerprint(trainer, pl_module, measuring_group(trainer))
        # "": the last epoch could not be measured, and another try would also fail
        other = self.measured_epoch != epoch or self._measured_weights not in ("", weights)
        flag = torch.tensor([other], dtype=torch.int64, device=trainer.strategy.root_device)
        if int(max_over_ranks(flag, measuring_group(trainer))):
            self._measure(trainer, pl_module, epoch)
            self._log_after_training(trainer)
            keep_reports(trainer, monitors_of(trainer), epoch, draw=False)
        if self is monitors_of(trainer)[-1]:
            finish_reports(trainer, monitors_of(trainer))

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Draw the results so far if training fails."""
        if self is monitors_of(trainer)[-1]:
            draw_reports(trainer, monitors_of(trainer))

    def is_due(self, trainer: L.Trainer) -> bool:
        """Whether to measure at the end of this epoch."""
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0 or is_last_epoch(trainer)

    def _asked(self, trainer: L.Trainer) -> Asked:
        """The joint request of all monitors that read the same layer."""
        everyone = monitors_of(trainer)
        also = sorted({path for monitor in everyone for path in monitor.layers})
        views = joined_views([monitor.views for monitor in everyone])
        return Asked(self.layer, tuple(also), views, self.loaders, self.batch)

    def _rehearse(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        try:
            first, _ = clean_features(trainer, pl_module, self._asked(trainer), self, only=1)
        except UserError:
            raise
        except Exception as error:  # raised by the user's network or data
            raise UserError(
                f"{type(self).__name__} cannot call the network on the first batch: "
                f"network(inputs) failed with {error!r}; inputs are the first item of a batch, or "
                "what batch= returns"
            ) from error
        self.check(first)
        self.promised = self._named(self.keys(first))

    def _run(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure, and log through Lightning."""
        self._measure(trainer, pl_module, trainer.current_epoch)
        shown = {self._name(key) for key in self.shown_in_progress_bar}
        for name, value in self.values.items():
            # Every rank has the same value; without sync_dist, Lightning would warn.
            pl_module.log(name, value, prog_bar=name in shown, sync_dist=True, reduce_fx="max")

    def _measure(self, trainer: L.Trainer, pl_module: L.LightningModule, epoch: int) -> None:
        """Read the pass and measure. Measures that fail become nan, and training continues."""
        splits: dict[str, Features] = {}
        try:
            weights = ""
            splits, weights = clean_features(trainer, pl_module, self._asked(trainer), self)
            found = self.measure(splits, measuring_group(trainer))
            self.values = {self._name(key): value for key, value in found.items()}
        except Exception as error:
            if trainer.state.fn == "validate" and not isinstance(error, ValueError):
                raise
            self.warn(str(error) if isinstance(error, ValueError) else repr(error))
            keys = dict.fromkeys((*self.values, *self.promised, *self._named(self.keys(splits))))
            self.values = dict.fromkeys(keys, math.nan)
        self.measured_epoch, self._measured_weights, self.splits = epoch, weights, splits

    def _log_after_training(self, trainer: L.Trainer) -> None:
        """Log directly to the loggers, because Lightning's hooks have ended."""
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in self.values.items()})
        for logger in trainer.loggers:
            row = {**self.values, "epoch": self.measured_epoch}
            logger.log_metrics(row, step=max(trainer.global_step - 1, 0))

    def warn(self, sentence: str) -> None:
        """Warn once that something is logged as nan, and why."""
        if sentence not in self._told:
            self._told.add(sentence)
            warnings.warn(f"{type(self).__name__}: {sentence}; logging nan", stacklevel=2)

    def _name(self, key: str) -> str:
        return f"{self.name}/{key}" if self.name else key

    def _named(self, keys: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._name(key) for key in keys)


def monitors_of(trainer: L.Trainer) -> list[Monitor]:
    """The monitors among a trainer's callbacks, in order."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper
    return [callback for callback in callbacks if isinstance(callback, Monitor)]
