"""``collapse-lit remeasure``: measure the checkpoints of a run again without training."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from collapse_lit.errors import UserError
from collapse_lit.fit.command import run_of
from collapse_lit.fit.command_line import FitCLI, command_line
from collapse_lit.fit.interruption import ended_by_ctrl_c
from collapse_lit.fit.measuring import measure_checkpoint
from collapse_lit.tracking.checkpoints import check_checkpoint
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import write_json

DESCRIPTION = """Measure the kept checkpoints of a run again, without training: with other options
of collapse and recovery, or with a newer version. The old run is not changed. The new run gets
its own history, figures and report. The same command again continues where it stopped."""


def remeasure(arguments: Sequence[str]) -> None:
    """Measure every kept checkpoint of one run into another run directory.

    Raises:
        UserError: The run cannot be read or has no checkpoint, an option changes the experiment, or
            the new run directory cannot be used.
    """
    parser = argparse.ArgumentParser(
        "collapse-lit remeasure",
        usage="collapse-lit remeasure RUN_DIR --out DIR [--recovery.mirror=true ...]",
        description=DESCRIPTION,
        epilog="Other options are those of collapse-lit fit; data, model and seed must not change.",
    )
    parser.add_argument("run_dir", type=Path, help="run to measure, such as runs/quickstart")
    parser.add_argument("--out", type=Path, required=True, help="directory of the new run")
    asked, options = parser.parse_known_args(arguments)
    source = RunDirectory(asked.run_dir)
    if not source.config.exists():
        raise UserError(
            f"{source.path}: this is not a run directory: {source.config.name} is missing"
        )
    if asked.out.resolve() == source.path.resolve():
        raise UserError(f"--out {asked.out}: this is the run itself; choose another directory")
    checkpoints = kept_checkpoints(source)
    with ended_by_ctrl_c():
        _remeasure(source, checkpoints, asked.out, options)


def _remeasure(
    source: RunDirectory, checkpoints: Mapping[int, Path], out: Path, options: Sequence[str]
) -> None:
    cli = command_line(["--config", str(source.config), "--run_dir", str(out), *options])
    with run_of(cli):
        cli.see_same_experiment(source)
        if cli.trainer.is_global_zero:
            cli.write_config()
        for epoch, checkpoint in checkpoints.items():
            _measure(cli, epoch, checkpoint)
        if cli.trainer.is_global_zero:
            _keep_training_time(source, cli.run_directory)


def kept_checkpoints(run: RunDirectory) -> dict[int, Path]:
    """The kept checkpoints of a run by epoch, oldest first; without any, the last checkpoint.

    Raises:
        UserError: There is no checkpoint, or one cannot be read.
    """
    found: dict[int, Path] = {}
    for path in (run.last_checkpoint, *sorted(run.checkpoints.glob("epoch_*.ckpt"))):
        if path.exists():
            found[_read(path)["epoch"]] = path
    if not found:
        raise UserError(f"{run.path}: {run.checkpoints} has no checkpoint")
    return dict(sorted(found.items()))


def _read(path: Path) -> dict[str, Any]:
    try:
        check_checkpoint(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(f"{path}: this checkpoint cannot be measured ({error})") from error


def _measure(cli: FitCLI, epoch: int, path: Path) -> None:
    """Measure the network of one checkpoint as that epoch, unless that is done."""
    if not any(row["epoch"] == epoch for row in cli.run_directory.read_history()):
        measure_checkpoint(cli, epoch, path)


def _keep_training_time(source: RunDirectory, run: RunDirectory) -> None:
    """Keep the seconds of the original run in the summary, including its own measurements."""
    if source.summary.exists():
        summary, before = (json.loads(file.read_text()) for file in (run.summary, source.summary))
        write_json(run.summary, {**summary, "wall_seconds": before["wall_seconds"]})
