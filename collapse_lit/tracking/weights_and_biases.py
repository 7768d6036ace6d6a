"""The W&B side of a run: the same run after every restart, never a prompt, never a crash."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from collapse_lit.metrics import HEADLINE, is_measured, prefixes
from collapse_lit.tracking.run_directory import Row, RunDirectory
from collapse_lit.tracking.wandb_files import forget_empty, history_rows
from collapse_lit.tracking.wandb_options import WandbOptions, has_key, init_arguments
from collapse_lit.tracking.wandb_points import points_table, staged_in
from collapse_lit.tracking.wandb_summary import numbers, summary_values

# The headline once more, under a name without a prefix: W&B puts those into its section "Charts",
# which comes before all others; those are in the order of the alphabet.
FIRST_PANEL = "headline"
# Everything that is measured once an epoch is drawn against it.
BY_EPOCH = (
    FIRST_PANEL,
    "collapse*",
    *(f"{name}/*" for name in (*prefixes(), "figures", "report")),
)
# Seconds to upload what is left at the end, of the thirty that SLURM leaves a process to stop. What
# does not get through in time is on disk, for `wandb sync`. WANDB_FINISH_TIMEOUT says otherwise.
LAST_UPLOAD = 20
# Logged beside what was measured, and beside the report: how far W&B's curves and its report reach.
MEASURED, REPORTED = "measured_epoch", "reported_epoch"
# Axes and bookkeeping: no panels of their own, which would stand beside the headline's.
HIDDEN = ("epoch", "trainer/global_step", MEASURED, REPORTED)


class RunLogger(WandbLogger):
    """W&B as a window on ``history.jsonl``: each measured epoch once, and failing is a warning.

    Args:
        experiment: The W&B run.
        identity: Content of ``run.json``.
        reached: The last measured epoch that W&B has from earlier starts, or -1.
        reported: The last measured epoch of the report that W&B has, or -1.
        save_dir: Where Lightning's profilers and callbacks put files of theirs.
    """

    def __init__(
        self,
        experiment: Any,
        identity: Mapping[str, Any],
        reached: int = -1,
        reported: int = -1,
        save_dir: str | Path = ".",
    ) -> None:
        super().__init__(experiment=experiment, save_dir=save_dir)
        self.identity = identity
        self.reached = reached
        self.reported = reported
        self._warned = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row, unless an earlier start has logged that epoch."""
        epoch = int(metrics.get("epoch", self.reached + 1))
        if epoch <= self.reached:
            return
        measured = any(map(is_measured, metrics))
        row = {**metrics, MEASURED: epoch} if measured else dict(metrics)
        if HEADLINE in row:
            row[FIRST_PANEL] = row[HEADLINE]
        self._try(super().log_metrics, row, step)

    def log_figures(self, paths: Mapping[str, Path], epoch: int, step: int) -> None:
        """Show image files under their names."""
        import wandb

        def log() -> None:
            images = {name: wandb.Image(str(path)) for name, path in paths.items()}
            self.experiment.log({**images, "epoch": epoch, "trainer/global_step": step})

        self._try(log)

    def catch_up(self, rows: Sequence[Row]) -> None:
        """Log measured epochs that were lost when W&B's process died with an earlier start."""
        for row in rows:
            if row["epoch"] > self.reached:
                self.log_metrics(numbers(row))
        self.reached = max([self.reached, *(row["epoch"] for row in rows)])
        self.summarise(rows)

    def summarise(self, rows: Sequence[Row]) -> None:
        """Put into W&B's summary what runs are sorted by, as of these measured epochs."""

        def summarise() -> None:
            tags = self.experiment.tags or ()
            self.experiment.summary.update(summary_values(rows, self.identity, tags))

        self._try(summarise)

    def show_report(self, run: RunDirectory) -> None:
        """Show the page and a table of the scatter's points, unless an earlier start has."""
        import wandb

        rows = run.read_history()
        last = rows[-1]["epoch"] if rows else -1
        self.summarise(rows)
        if last <= self.reported:
            return

        def log_page() -> None:
            page = wandb.Html(str(run.report), inject=False)  # whole, as it is
            self.experiment.log({"report/page": page, "epoch": last, REPORTED: last})

        def log_points() -> None:
            points = points_table(run, rows)
            if points is not None:
                with staged_in(run.path / "wandb"):
                    self.experiment.log({"report/points": points, "epoch": last})

        self._try(log_page)
        self._try(log_points)  # an artifact to W&B: not every server takes it
        self.reported = last

    def finish(self) -> None:
        """Close the run: everything on disk, or uploaded."""
        self._try(self.experiment.finish)

    def _try(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            if not self._warned:
                warnings.warn(
                    f"W&B failed ({error!r}); training goes on, and history.jsonl has everything",
                    stacklevel=3,
                )
            self._warned = True


def wandb_logger(
    run: RunDirectory,
    identity: Mapping[str, Any],
    options: WandbOptions,
    config: Mapping[str, Any],
) -> RunLogger | None:
    """A logger bound to the run's own id; None when disabled, or when W&B cannot start.

    Args:
        run: W&B keeps its files in ``run.path / "wandb"``, offline too.
        identity: Content of ``run.json``.
        options: What was asked for.
        config: The whole configuration, shown in W&B.
    """
    if options.mode == "disabled":
        return None
    try:
        arguments = init_arguments(options, identity["name"])
    except Exception as error:
        warnings.warn(f"W&B cannot start ({error}); training does", stacklevel=2)
        return None
    if arguments["mode"] == "disabled":
        return None
    for mode in dict.fromkeys((arguments["mode"], "offline")):
        try:
            return _start(run, identity, {**arguments, "mode": mode}, config)
        except Exception as error:
            warnings.warn(f"W&B cannot start {mode} ({error!r}); training does", stacklevel=2)
            _forget_failed_start()
    return None


def _forget_failed_start() -> None:
    """End W&B's own process, which would take the run's id for one in use."""
    import wandb

    with contextlib.suppress(Exception):
        wandb.teardown()


def _start(
    run: RunDirectory, identity: Mapping[str, Any], arguments: Mapping[str, Any], config: Any
) -> RunLogger:
    import wandb

    online = arguments["mode"] != "offline"
    if online and not has_key():
        raise LookupError("W&B finds no key; `wandb login` saves one")  # W&B itself would ask
    forget_empty(run.path / "wandb")
    reached, reported = (last_logged(run, identity["wandb_id"], k) for k in (MEASURED, REPORTED))
    experiment = wandb.init(
        **arguments,
        id=identity["wandb_id"],
        dir=run.path,
        resume="allow",
        config=dict(config),
        allow_val_change=True,
        settings=wandb.Settings(
            # A progress bar redraws the terminal many times a second: no use in W&B's copy of it.
            console="off",
            quiet=True,
            # No account and host names, no address of a repository, which may hold a token;
            # run.json has commit and versions.
            x_disable_meta=True,
            disable_git=True,
            finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", LAST_UPLOAD)),
        ),
    )
    for name in BY_EPOCH:
        experiment.define_metric(name, step_metric="epoch")
    for name in HIDDEN:
        experiment.define_metric(name, hidden=True)
    if online:  # what the server has counts, not what was on its way there
        reached, reported = (int(experiment.summary.get(key, -1)) for key in (MEASURED, REPORTED))
    return RunLogger(experiment, identity, reached, reported, run.path)


def last_logged(run: RunDirectory, wandb_id: str, key: str) -> int:
    """The largest value of a key in W&B's files of this run, or -1."""
    files = (run.path / "wandb").glob(f"*run-*/run-{wandb_id}.wandb")
    return max((row.get(key, -1) for file in files for row in history_rows(file)), default=-1)


def show_report(loggers: Iterable[Logger], run: RunDirectory) -> None:
    """Show a run's page and points in the W&B runs of these loggers."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.show_report(run)


def finish(loggers: Iterable[Logger]) -> None:
    """Close the W&B runs of these loggers."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.finish()
