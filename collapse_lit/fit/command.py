"""``collapse-lit fit``: one configuration in, one run directory out, resumed where it stopped."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

from collapse_lit.callbacks.monitor import monitors_of
from collapse_lit.errors import UserError
from collapse_lit.fit.command_line import FitCLI, command_line
from collapse_lit.fit.endings import EpochCutError
from collapse_lit.fit.interruption import RunStopped, ended_by_ctrl_c
from collapse_lit.fit.measuring import measure_checkpoint, measure_network
from collapse_lit.metrics import MEASURED
from collapse_lit.report import build_report, print_summary
from collapse_lit.tracking.checkpoints import check_space, newest_checkpoint
from collapse_lit.tracking.continuation import check_nothing_measured
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.weights_and_biases import finish, show_report


def fit(arguments: Sequence[str]) -> None:
    """Train by the configuration and overrides in ``arguments``, or go on training.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or its disk
            failed under way; the last epoch's checkpoint is whole then.
        RunStopped: A signal asked the run to stop.
    """
    with ended_by_ctrl_c():
        cli = command_line(arguments)
        if cli.trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Lightning's
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
            return
        with run_of(cli):
            _train(cli)


@contextmanager
def run_of(cli: FitCLI) -> Iterator[None]:
    """What is done inside goes into the run directory; report and summary follow it.

    Raises:
        UserError: The directory's disk failed.
    """
    run = cli.run_directory
    try:
        yield
        if cli.trainer.is_global_zero:
            build_report(run.path)
            print_summary(run)
            show_report(cli.trainer.loggers, run)
    except UserError:
        if cli.claim is not None:
            run.undo()
        raise
    except OSError as error:
        if not _is_in(run, error.filename):
            raise
        raise UserError(
            f"{error.filename}: {error.strerror}. What is in {run.checkpoints} is whole; put this "
            "right, and the same command goes on"
        ) from error
    finally:
        finish(cli.trainer.loggers)
        if cli.claim is not None:
            cli.claim.release()


def _train(cli: FitCLI) -> None:
    """Train from the newest checkpoint on, or measure the untrained network."""
    run, trainer, weights = cli.run_directory, cli.trainer, cli.model.state_dict()
    checkpoint = newest_checkpoint(run, weights)
    try:
        if checkpoint is None and trainer.max_epochs != 0:
            check_nothing_measured(run)
        if trainer.is_global_zero:
            check_space(run, weights)
            cli.write_config()
        if trainer.max_epochs == 0:
            _measure_untrained(cli)
        else:
            _train_from(cli, checkpoint)
            _measure_last(cli)
            cli.endings.tell(trainer, cli.recorder.epoch + 1)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    except SIGTERMException as error:  # came while Lightning's own handler was still there
        raise RunStopped(trainer.is_global_zero) from error


def _train_from(cli: FitCLI, checkpoint: Path | None) -> None:
    """Train until the end that was asked for; an epoch that it cuts short is left out."""
    if checkpoint is not None:
        cli.model.start_from = None  # it has weights of its own
    with contextlib.suppress(EpochCutError):
        cli.trainer.fit(
            cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True
        )


def _measure_last(cli: FitCLI) -> None:
    """Measure the last whole epoch from its checkpoint, as far as that is not done.

    Where training ends is not known before, and no monitor may have been asked for that epoch.
    """
    run, epoch = cli.run_directory, cli.recorder.epoch
    rows = [row for row in run.read_history() if row["epoch"] == epoch]
    done = all(any(key.startswith(part) for row in rows for key in row) for part in MEASURED)
    if epoch < 0 or cli.trainer.strategy.broadcast(done):
        return
    for monitor in monitors_of(cli.trainer):
        monitor.stands = monitor.measured_epoch == epoch  # W&B has its values
    measure_checkpoint(cli, epoch, run.last_checkpoint)


def _is_in(run: RunDirectory, name: Any) -> bool:
    """Whether an error's file is one of the run directory's."""
    return isinstance(name, str) and Path(name).resolve().is_relative_to(run.path.resolve())


def _measure_untrained(cli: FitCLI) -> None:
    """Measure the network as it was initialised, unless that is done."""
    if not cli.run_directory.read_history():
        measure_network(cli)
