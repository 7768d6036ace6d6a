"""The W&B side of a run: one W&B run across restarts, without prompts and crashes."""

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

# The headline under a second name without a prefix. W&B puts such names into its section "Charts",
# which comes before the other, alphabetical sections.
FIRST_PANEL = "headline"
# The x-axis of everything that is measured once per epoch.
BY_EPOCH = (
    FIRST_PANEL,
    "collapse*",
    *(f"{name}/*" for name in (*prefixes(), "figures", "report")),
)
# Seconds for the last upload, of the thirty in which SLURM lets a process stop. The rest stays on
# disk for `wandb sync`. WANDB_FINISH_TIMEOUT overrides this.
LAST_UPLOAD = 20
# Logged with each measured epoch and with the report, to know how far W&B's curves and report go.
MEASURED, REPORTED = "measured_epoch", "reported_epoch"
# Axes and bookkeeping without own panels, which would appear beside the headline.
HIDDEN = ("epoch", "trainer/global_step", MEASURED, REPORTED)


class RunLogger(WandbLogger):
    """Logs ``history.jsonl`` to W&B, each measured epoch once; a failure of W&B is a warning.

    Args:
        experiment: The W&B run.
        identity: Content of ``run.json``.
        reached: The last measured epoch that earlier starts logged to W&B, or -1.
        reported: The last measured epoch of the report in W&B, or -1.
        save_dir: Directory for files of Lightning's profilers and callbacks.
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
        """Log a row, unless an earlier start logged this epoch."""
        epoch = int(metrics.get("epoch", self.reached + 1))
        if epoch <= self.reached:
            return
        measured = any(map(is_measured, metrics))
        row = {**metrics, MEASURED: epoch} if measured else dict(metrics)
        if HEADLINE in row:
            row[FIRST_PANEL] = row[HEADLINE]
        self._try(super().log_metrics, row, step)

    def log_figures(self, paths: Mapping[str, Path], epoch: int, step: int) -> None:
        """Log image files under their names."""
        import wandb

        def log() -> None:
            images = {name: wandb.Image(str(path)) for name, path in paths.items()}
            self.experiment.log({**images, "epoch": epoch, "trainer/global_step": step})

        self._try(log)

    def catch_up(self, rows: Sequence[Row]) -> None:
        """Log measured epochs that were lost when W&B's process died in an earlier start."""
        for row in rows:
            if row["epoch"] > self.reached:
                self.log_metrics(numbers(row))
        self.reached = max([self.reached, *(row["epoch"] for row in rows)])
        self.summarise(rows)

    def summarise(self, rows: Sequence[Row]) -> None:
        """Set the values that sort runs in W&B's summary, from these measured epochs."""

        def summarise() -> None:
            tags = self.experiment.tags or ()
            self.experiment.summary.update(summary_values(rows, self.identity, tags))

        self._try(summarise)

    def show_report(self, run: RunDirectory) -> None:
        """Log the page and a table of the scatter plot's points, unless an earlier start did."""
        import wandb

        rows = run.read_history()
        last = rows[-1]["epoch"] if rows else -1
        self.summarise(rows)
        if last <= self.reported:
            return

        def log_page() -> None:
            page = wandb.Html(str(run.report), inject=False)  # the page is complete HTML
            self.experiment.log({"report/page": page, "epoch": last, REPORTED: last})

        def log_points() -> None:
            points = points_table(run, rows)
            if points is not None:
                with staged_in(run.path / "wandb"):
                    self.experiment.log({"report/points": points, "epoch": last})

        self._try(log_page)
        self._try(log_points)  # a table is an artifact, which not every server accepts
        self.reported = last

    def finish(self) -> None:
        """Close the run; everything is then on disk or uploaded."""
        self._try(self.experiment.finish)

    def _try(self, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            if not self._warned:
                warnings.warn(
                    f"W&B failed ({error!r}); training continues, and history.jsonl has all values",
                    stacklevel=3,
                )
            self._warned = True


def wandb_logger(
    run: RunDirectory,
    identity: Mapping[str, Any],
    options: WandbOptions,
    config: Mapping[str, Any],
) -> RunLogger | None:
    """A logger with the run's own W&B id; None if W&B is disabled or cannot start.

    Args:
        run: The run directory; W&B keeps its files in ``run.path / "wandb"``.
        identity: Content of ``run.json``.
        options: The user's options.
        config: The full configuration, which W&B shows.
    """
    if options.mode == "disabled":
        return None
    try:
        arguments = init_arguments(options, identity["name"])
    except Exception as error:
        warnings.warn(f"W&B cannot start ({error}); training continues without it", stacklevel=2)
        return None
    if arguments["mode"] == "disabled":
        return None
    for mode in dict.fromkeys((arguments["mode"], "offline")):
        try:
            return _start(run, identity, {**arguments, "mode": mode}, config)
        except Exception as error:
            warnings.warn(
                f"W&B cannot start {mode} ({error!r}); training continues without it", stacklevel=2
            )
            _forget_failed_start()
    return None


def _forget_failed_start() -> None:
    """End W&B's process, which would treat the run's id as in use."""
    import wandb

    with contextlib.suppress(Exception):
        wandb.teardown()


def _start(
    run: RunDirectory, identity: Mapping[str, Any], arguments: Mapping[str, Any], config: Any
) -> RunLogger:
    import wandb

    online = arguments["mode"] != "offline"
    if online and not has_key():
        raise LookupError(
            "W&B finds no key; run `wandb login` to save one"
        )  # W&B itself would prompt
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
            # W&B's copy of the terminal would record every redraw of the progress bar.
            console="off",
            quiet=True,
            # Log no account or host names, and no repository address, which may contain a token.
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
    if online:  # only rows on the server count, not rows in transit
        reached, reported = (int(experiment.summary.get(key, -1)) for key in (MEASURED, REPORTED))
    return RunLogger(experiment, identity, reached, reported, run.path)


def last_logged(run: RunDirectory, wandb_id: str, key: str) -> int:
    """The largest value of a key in W&B's files of this run, or -1."""
    files = (run.path / "wandb").glob(f"*run-*/run-{wandb_id}.wandb")
    return max((row.get(key, -1) for file in files for row in history_rows(file)), default=-1)


def show_report(loggers: Iterable[Logger], run: RunDirectory) -> None:
    """Log a run's page and points to the W&B runs of these loggers."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.show_report(run)


def finish(loggers: Iterable[Logger]) -> None:
    """Close the W&B runs of these loggers."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.finish()
