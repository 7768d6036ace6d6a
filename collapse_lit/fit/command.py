"""``collapse-lit fit``: train a configuration into a run directory, or resume the run."""

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
from collapse_lit.fit.preflight import tell_of_large_steps
from collapse_lit.metrics import MEASURED
from collapse_lit.report import build_report, print_summary
from collapse_lit.tracking.checkpoints import check_space, newest_checkpoint
from collapse_lit.tracking.continuation import check_nothing_measured
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.weights_and_biases import finish, show_report


def fit(arguments: Sequence[str]) -> None:
    """Train the configuration and overrides in ``arguments``, or continue training.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or the disk
            failed during training. The last epoch's checkpoint is then still complete.
        RunStopped: A signal asked the run to stop.
    """
    with ended_by_ctrl_c():
        cli = command_line(arguments)
        if cli.trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper of Lightning
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
            return
        with run_of(cli):
            _train(cli)


@contextmanager
def run_of(cli: FitCLI) -> Iterator[None]:
    """Run the body inside the run directory, then write report and summary.

    Raises:
        UserError: The disk of the directory failed.
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
            f"{error.filename}: {error.strerror}. The files in {run.checkpoints} are complete; "
            "solve this problem and run the same command again to continue"
        ) from error
    finally:
        finish(cli.trainer.loggers)
        if cli.claim is not None:
            cli.claim.release()


def _train(cli: FitCLI) -> None:
    """Train from the newest checkpoint, or measure the untrained network."""
    tell_of_large_steps(cli.trainer.world_size, cli.datamodule.batch_size)
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
    except SIGTERMException as error:  # received while Lightning's own handler was still active
        raise RunStopped(trainer.is_global_zero) from error


def _train_from(cli: FitCLI, checkpoint: Path | None) -> None:
    """Train until the requested end; an incomplete epoch is discarded."""
    if checkpoint is not None:
        cli.model.start_from = None  # the checkpoint has the weights
    with contextlib.suppress(EpochCutError):
        cli.trainer.fit(
            cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, weights_only=True
        )


def _measure_last(cli: FitCLI) -> None:
    """Measure the last complete epoch from its checkpoint, unless that is done.

    The end of training is not known in advance, so the monitors may have skipped this epoch.
    """
    run, epoch = cli.run_directory, cli.recorder.epoch
    rows = [row for row in run.read_history() if row["epoch"] == epoch]
    done = all(any(key.startswith(part) for row in rows for key in row) for part in MEASURED)
    if epoch < 0 or cli.trainer.strategy.broadcast(done):
        return
    for monitor in monitors_of(cli.trainer):
        monitor.stands = monitor.measured_epoch == epoch  # W&B already has its values
    measure_checkpoint(cli, epoch, run.last_checkpoint)


def _is_in(run: RunDirectory, name: Any) -> bool:
    """Whether an error's file lies in the run directory."""
    return isinstance(name, str) and Path(name).resolve().is_relative_to(run.path.resolve())


def _measure_untrained(cli: FitCLI) -> None:
    """Measure the untrained network, unless that is done."""
    if not cli.run_directory.read_history():
        measure_network(cli)
