"""A report for the user's own project: figures, a page and the cluster of each sample."""

import io
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from collapse_lit.callbacks.clean_pass import measuring_group
from collapse_lit.callbacks.loaders import splits_to_measure
from collapse_lit.callbacks.sample_pictures import class_names_of, paths_of, pictures_of
from collapse_lit.errors import UserError
from collapse_lit.features import Features
from collapse_lit.measure.distributed import Group, concat_over_ranks
from collapse_lit.measure.recovery.all_classes import Recovery
from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.pages.sprite import make_sprite
from collapse_lit.reading.batches import TakeApart
from collapse_lit.report import build_report
from collapse_lit.report.page import discover_command
from collapse_lit.tracking.other_loggers import show_figures
from collapse_lit.tracking.run_directory import Row, RunDirectory
from collapse_lit.tracking.tables import write_csv
from collapse_lit.tracking.whole_files import write_json, write_whole

# Drawing may take this share of the training time; the last epoch is always drawn.
SHARE_OF_TIME = 0.05
OF_THE_END = ("features.npy", "labels.csv", "clusters.csv")
LISTS = ("space", "acc_of_coarse")  # lists with one entry per class; in the history only


class OwnReport:
    """Writes the monitors' results to a folder; ``report.html`` is its page.

    Training from the first epoch replaces the folder's contents. Training resumed from a checkpoint
    continues them. A figure that fails causes one warning.

    Args:
        folder: The folder of the report.
    """

    def __init__(self, folder: str | Path) -> None:
        self.run = RunDirectory(folder)
        self.started, self.drawing = time.monotonic(), 0.0
        self._warned = False

    def start(self, epoch: int) -> None:
        """Make the folder, and drop results from the coming epoch on.

        Raises:
            UserError: The folder cannot be written to, or it holds a run of ``collapse-lit fit``.
        """
        if self.run.config.exists() or self.run.identity.exists():
            raise UserError(
                f"report={str(self.run.path)!r} is a run of collapse-lit fit; choose another folder"
            )
        try:
            for folder in (self.run.path, self.run.snapshots, self.run.figures):
                folder.mkdir(parents=True, exist_ok=True)
            self.run.history.open("ab").close()
        except OSError as error:
            raise UserError(
                f"report={str(self.run.path)!r}: cannot write there ({error.strerror}); choose "
                "another folder"
            ) from error
        self.run.forget_history_after(epoch - 1)
        for path in self.run.snapshots.glob("epoch_*.npz"):
            if int(path.stem.removeprefix("epoch_")) >= epoch:
                path.unlink()
        if epoch == 0:
            self.run.thumbnails.unlink(missing_ok=True)
        for name in OF_THE_END:
            (self.run.path / name).unlink(missing_ok=True)
        self.started, self.drawing = time.monotonic(), 0.0

    def keep(self, epoch: int, values: Mapping[str, float], pictures: Mapping[str, Any]) -> None:
        """Write the results of one epoch, and replace earlier results of the same epoch."""
        row: Row = {"epoch": epoch, **values}
        row |= {f"recovery/{key}": pictures[key] for key in LISTS if key in pictures}
        self.run.forget_history_after(epoch - 1)
        self.run.append_history(row)
        self.run.write_snapshot(epoch, pictures)
        rows = self.run.read_history()
        write_json(self.run.summary, {**rows[-1], "selected": select_epoch(rows)})

    def keep_thumbnails(self, index: Sequence[int], loader: Any, how: TakeApart | None) -> None:
        """Write thumbnails of the samples in the scatter plot once, if the data have pictures."""
        if not self.run.thumbnails.exists():
            sprite = make_sprite(index, pictures_of(loader, index, how))
            if sprite is not None:
                self.run.write_thumbnails(sprite.arrays)

    @contextmanager
    def failing_is_a_warning(self) -> Iterator[None]:
        """Turn a failed write into one warning: a report must not stop training."""
        try:
            yield
        except Exception as error:
            if not self._warned:
                warnings.warn(f"report={str(self.run.path)!r}: {error!r}", stacklevel=2)
            self._warned = True

    def draw(self, trainer: L.Trainer, step: int, *, at_the_end: bool = False) -> None:
        """Draw figures and page within the time limit, and send them to the loggers."""
        spent = time.monotonic() - self.started
        if not self.run.read_history():  # the start failed before anything was measured
            return
        if not at_the_end and self.drawing > SHARE_OF_TIME * spent:
            return
        before = time.monotonic()
        with self.failing_is_a_warning():
            build_report(self.run.path)
            for logger in trainer.loggers:
                _show(logger, sorted(self.run.figures.glob("*.png")), self.run.report, step)
        self.drawing += time.monotonic() - before

    def finish(
        self,
        train: Features | None,
        found: Recovery | None,
        loader: Any,
        group: Group,
    ) -> None:
        """Write features and clusters as files for ``collapse-lit discover``.

        Args:
            train: This rank's training features of the last epoch.
            found: The clusters of the training features, or None.
            loader: Loader of the samples, for the names of labels and files.
            group: Process group of the ranks.
        """
        if train is None:
            return
        columns = [train.index[:, None], train.coarse[:, None]]
        labels = concat_over_ranks(_joined(columns), group)
        features = concat_over_ranks(train.features, group)
        order = labels[:, 0].argsort()
        index, coarse = (column.tolist() for column in labels[order].T)
        clusters = None
        if found is not None:
            of_samples = [found.ids.double(), found.confidence.double(), found.margin.double()]
            clusters = concat_over_ranks(_joined([c[:, None] for c in of_samples]), group)[order]
        if group is None or group.rank() == 0:
            with self.failing_is_a_warning():
                self._write_samples(features[order], index, coarse, clusters, loader)

    def _write_samples(
        self,
        features: Tensor,
        index: Sequence[int],
        coarse: Sequence[int],
        clusters: Tensor | None,
        loader: Any,
    ) -> None:
        buffer = io.BytesIO()
        np.save(buffer, features.cpu().numpy(), allow_pickle=False)
        write_whole(self.run.path / "features.npy", buffer.getvalue())
        names = class_names_of(loader)
        named = [names[c] if c < len(names) else str(c) for c in coarse]
        paths = paths_of(loader, index)
        if paths is None:
            write_csv(self.run.path / "labels.csv", ("label",), ([name] for name in named))
        else:
            rows_of_files = zip(paths, named, strict=True)
            write_csv(self.run.path / "labels.csv", ("path", "label"), rows_of_files)
        if clusters is not None:
            rows = zip(index, named, clusters.tolist(), strict=True)
            write_csv(
                self.run.path / "clusters.csv",
                ("index", "coarse", "cluster", "confidence", "margin"),
                ((i, n, int(c), f"{p:.4f}", f"{m:.4f}") for i, n, (c, p, m) in rows),
            )
        rank_zero_info(
            f"report: {self.run.report}; to look at the clusters and name them, run\n"
            f"  {discover_command(self.run.path)}"
        )


def keep_reports(trainer: L.Trainer, monitors: Sequence[Any], epoch: int, *, draw: bool) -> None:
    """Write all monitors' results of an epoch to their report folders."""
    reports = _reports_of(monitors)
    if not reports or not trainer.is_global_zero:
        return
    values: dict[str, float] = {}
    pictures: dict[str, Any] = {}
    loader = _training_loader(trainer, monitors)
    if names := class_names_of(loader):
        pictures["coarse_names"] = names
    for monitor in monitors:
        if monitor.measured_epoch == epoch:
            values |= monitor.values
            pictures |= monitor.pictures
    for report in reports:
        with report.failing_is_a_warning():
            report.keep(epoch, values, pictures)
            if "index" in pictures:
                report.keep_thumbnails(pictures["index"].tolist(), loader, monitors[-1].batch)
        if draw:
            report.draw(trainer, trainer.global_step)


def finish_reports(trainer: L.Trainer, monitors: Sequence[Any]) -> None:
    """Write features and clusters of the last epoch, and draw; all ranks must call this."""
    found = [getattr(monitor, "recovery", None) for monitor in monitors]
    clustered = next((i for i, recovery in enumerate(found) if recovery is not None), 0)
    for report in _reports_of(monitors):
        train, loader = monitors[clustered].splits.get("train"), _training_loader(trainer, monitors)
        report.finish(train, found[clustered], loader, measuring_group(trainer))
    draw_reports(trainer, monitors)


def draw_reports(trainer: L.Trainer, monitors: Sequence[Any]) -> None:
    """Draw the results so far."""
    for report in _reports_of(monitors) if trainer.is_global_zero else []:
        report.draw(trainer, trainer.global_step, at_the_end=True)


def _reports_of(monitors: Sequence[Any]) -> list[OwnReport]:
    """The monitors' reports, one per folder."""
    reports = [monitor.report for monitor in monitors if monitor.report is not None]
    return list({report.run.path: report for report in reports}.values())


def _training_loader(trainer: L.Trainer, monitors: Sequence[Any]) -> Any:
    return splits_to_measure(trainer, monitors[-1].loaders).get("train")


def _joined(columns: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(columns), dim=1)


def _show(logger: Any, figures: Sequence[Path], page: Path, step: int) -> None:
    """Send figures to loggers that support them, and the page to W&B."""
    show_figures(logger, {f"figures/{path.stem}": path for path in figures}, step)
    if isinstance(logger, WandbLogger):
        import wandb

        html = wandb.Html(str(page), inject=False)
        logger.experiment.log({"report": html, "trainer/global_step": step})
