"""Something to look at in a project of one's own: figures, a page and a cluster for each sample."""

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

# Drawing may take this share of a training's time; the end is always drawn.
SHARE_OF_TIME = 0.05
OF_THE_END = ("features.npy", "labels.csv", "clusters.csv")
LISTS = ("space", "acc_of_coarse")  # one entry a class: in the history only


class OwnReport:
    """Keeps a folder with what the monitors measured; ``report.html`` in it is the page.

    A training that starts from its first epoch replaces what is in the folder; one that goes on
    from a checkpoint goes on in it. A picture that fails is a warning, once.

    Args:
        folder: Where everything goes.
    """

    def __init__(self, folder: str | Path) -> None:
        self.run = RunDirectory(folder)
        self.started, self.drawing = time.monotonic(), 0.0
        self._warned = False

    def start(self, epoch: int) -> None:
        """Make the folder, and forget what lies beyond the epoch that is to come.

        Raises:
            UserError: It cannot be written to, or holds a run of ``collapse-lit fit``.
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
        """Keep what one epoch gave, in place of what was known of it."""
        row: Row = {"epoch": epoch, **values}
        row |= {f"recovery/{key}": pictures[key] for key in LISTS if key in pictures}
        self.run.forget_history_after(epoch - 1)
        self.run.append_history(row)
        self.run.write_snapshot(epoch, pictures)
        rows = self.run.read_history()
        write_json(self.run.summary, {**rows[-1], "selected": select_epoch(rows)})

    def keep_thumbnails(self, index: Sequence[int], loader: Any, how: TakeApart | None) -> None:
        """Keep small pictures of the samples in the scatter, once, where the data have any."""
        if not self.run.thumbnails.exists():
            sprite = make_sprite(index, pictures_of(loader, index, how))
            if sprite is not None:
                self.run.write_thumbnails(sprite.arrays)

    @contextmanager
    def failing_is_a_warning(self) -> Iterator[None]:
        """Go on, and say once what could not be written: no page is worth a training."""
        try:
            yield
        except Exception as error:
            if not self._warned:
                warnings.warn(f"report={str(self.run.path)!r}: {error!r}", stacklevel=2)
            self._warned = True

    def draw(self, trainer: L.Trainer, step: int, *, at_the_end: bool = False) -> None:
        """Draw figures and page, as often as the time allows, and show them in the loggers."""
        spent = time.monotonic() - self.started
        if not self.run.read_history():  # a start that was refused, or broken off at once
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
        """Write features and clusters as files, to go on with by ``collapse-lit discover``.

        Args:
            train: Training features that this rank holds, of the last epoch.
            found: Their clusters, if they were clustered.
            loader: Where the samples come from, for the names of labels and files.
            group: The ranks.
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
            f"what was measured is in {self.run.report}; to look at the clusters and name them:\n"
            f"  {discover_command(self.run.path)}"
        )


def keep_reports(trainer: L.Trainer, monitors: Sequence[Any], epoch: int, *, draw: bool) -> None:
    """Keep in the monitors' folders what all of them know of an epoch."""
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
    """Write features and clusters of the last epoch, and draw; together on all ranks."""
    found = [getattr(monitor, "recovery", None) for monitor in monitors]
    clustered = next((i for i, recovery in enumerate(found) if recovery is not None), 0)
    for report in _reports_of(monitors):
        train, loader = monitors[clustered].splits.get("train"), _training_loader(trainer, monitors)
        report.finish(train, found[clustered], loader, measuring_group(trainer))
    draw_reports(trainer, monitors)


def draw_reports(trainer: L.Trainer, monitors: Sequence[Any]) -> None:
    """Draw what there is."""
    for report in _reports_of(monitors) if trainer.is_global_zero else []:
        report.draw(trainer, trainer.global_step, at_the_end=True)


def _reports_of(monitors: Sequence[Any]) -> list[OwnReport]:
    """The reports that monitors keep, one a folder."""
    reports = [monitor.report for monitor in monitors if monitor.report is not None]
    return list({report.run.path: report for report in reports}.values())


def _training_loader(trainer: L.Trainer, monitors: Sequence[Any]) -> Any:
    return splits_to_measure(trainer, monitors[-1].loaders).get("train")


def _joined(columns: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(columns), dim=1)


def _show(logger: Any, figures: Sequence[Path], page: Path, step: int) -> None:
    """Show figures where a logger has a place for them, and the page in W&B."""
    show_figures(logger, {f"figures/{path.stem}": path for path in figures}, step)
    if isinstance(logger, WandbLogger):
        import wandb

        html = wandb.Html(str(page), inject=False)
        logger.experiment.log({"report": html, "trainer/global_step": step})
