"""The W&B side of a run: the same run after every restart, never a prompt, never a crash."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from collapse_lit.tracking.run_directory import Row, RunDirectory
from collapse_lit.tracking.wandb_files import forget_empty, history_rows
from collapse_lit.tracking.wandb_options import WandbOptions, has_key, init_arguments

# Everything that is measured once an epoch is drawn against it.
BY_EPOCH = ("train/*", "test/*", "collapse*", "recovery/*", "figures/*")
# Seconds to upload what is left at the end, of the thirty that SLURM leaves a process to stop. What
# does not get through in time is on disk, for `wandb sync`. WANDB_FINISH_TIMEOUT says otherwise.
LAST_UPLOAD = 20
# Logged beside what was measured: how far W&B's curves reach. Hidden there.
MEASURED = "measured_epoch"


class RunLogger(WandbLogger):
    """W&B as a window on ``history.jsonl``: each measured epoch once, and failing is a warning.

    Args:
        experiment: The W&B run.
        reached: The last measured epoch that W&B has from earlier starts, or -1.
    """

    def __init__(self, experiment: Any, reached: int = -1) -> None:
        super().__init__(experiment=experiment)
        self.reached = reached
        self._warned = False

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row, unless an earlier start has logged that epoch."""
        epoch = int(metrics.get("epoch", self.reached + 1))
        if epoch <= self.reached:
            return
        measured = any(key.startswith(("collapse", "recovery")) for key in metrics)
        row = {**metrics, MEASURED: epoch} if measured else dict(metrics)
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
                numbers = {k: v for k, v in row.items() if isinstance(v, (int, float))}
                self.log_metrics(numbers)
        self.reached = max([self.reached, *(row["epoch"] for row in rows)])

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
) -> RunLogger | bool:
    """A logger bound to the run's own id; False when disabled, or when W&B cannot start.

    Args:
        run: W&B keeps its files in ``run.path / "wandb"``, offline too.
        identity: Content of ``run.json``.
        options: What was asked for.
        config: The whole configuration, shown in W&B.
    """
    if options.mode == "disabled":
        return False
    try:
        arguments = init_arguments(options, identity["name"])
    except Exception as error:
        warnings.warn(f"W&B cannot start ({error}); training does", stacklevel=2)
        return False
    if arguments["mode"] == "disabled":
        return False
    for mode in dict.fromkeys((arguments["mode"], "offline")):
        try:
            return _start(run, identity, {**arguments, "mode": mode}, config)
        except Exception as error:
            warnings.warn(f"W&B cannot start {mode} ({error!r}); training does", stacklevel=2)
            _forget_failed_start()
    return False


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
    reached = epoch_reached(run, identity["wandb_id"])
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
    experiment.define_metric(MEASURED, hidden=True)
    if online:  # what the server has counts, not what was on its way there
        reached = int(experiment.summary.get(MEASURED, -1))
    return RunLogger(experiment, reached)


def epoch_reached(run: RunDirectory, wandb_id: str) -> int:
    """The last measured epoch in W&B's files of this run, or -1."""
    files = (run.path / "wandb").glob(f"*run-*/run-{wandb_id}.wandb")
    return max((row.get(MEASURED, -1) for file in files for row in history_rows(file)), default=-1)


def finish(loggers: Iterable[Logger]) -> None:
    """Close the W&B runs of these loggers."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.finish()
