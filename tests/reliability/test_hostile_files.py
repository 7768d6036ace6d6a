"""Broken or hostile files in a run directory never run code."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lit.errors import UserError
from collapse_lit.report import build_report
from collapse_lit.tracking.checkpoints import newest_checkpoint
from collapse_lit.tracking.run_directory import RunDirectory

WEIGHTS = {"head.weight": torch.zeros(5, 4)}


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trap),)


def training(**different) -> dict:
    return {"state_dict": WEIGHTS, "loops": {}, "epoch": 3, **different}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.checkpoints.mkdir(exist_ok=True)
    return run


def spoil(run: RunDirectory, how: str) -> None:
    """Put something else where ``last.ckpt`` was."""
    other = {
        "truncated": training(),
        "foreign": {"weights": WEIGHTS},
        "another network's": training(state_dict={"head.weight": torch.zeros(7, 4)}),
        "hostile": training(callbacks=Hostile(run.path / "trap")),
    }
    torch.save(other[how], run.last_checkpoint)
    if how == "truncated":
        whole = run.last_checkpoint.read_bytes()
        run.last_checkpoint.write_bytes(whole[: len(whole) // 2])


SPOILED = ("truncated", "foreign", "another network's", "hostile")


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_checkpoint_is_named_and_the_newest_before_it_is_used(
    run: RunDirectory, how: str
) -> None:
    spoil(run, how)
    for age, name in enumerate(("previous.ckpt", "epoch_001.ckpt", "epoch_000.ckpt")):
        torch.save(training(), run.checkpoints / name)
        os.utime(run.checkpoints / name, (1e9 - age, 1e9 - age))
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be used"):
        assert newest_checkpoint(run, WEIGHTS) == run.checkpoints / "previous.ckpt"
    (run.checkpoints / "previous.ckpt").unlink()
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be used"):
        assert newest_checkpoint(run, WEIGHTS) == run.checkpoints / "epoch_001.ckpt"
    assert not (run.path / "trap").exists()


@pytest.mark.filterwarnings("ignore:.*cannot be used")
@pytest.mark.parametrize("how", SPOILED)
def test_a_run_without_any_whole_checkpoint_does_not_start_anew(
    run: RunDirectory, how: str
) -> None:
    spoil(run, how)
    with pytest.raises(UserError, match=r"has no usable checkpoint \(last\.ckpt"):
        newest_checkpoint(run, WEIGHTS)


def test_a_hostile_snapshot_is_named_and_executes_nothing(run: RunDirectory) -> None:
    run.append_history({"epoch": 0, "collapse/nc1": 1.0})
    hostile = np.array([Hostile(run.path / "trap")], dtype=object)
    np.savez(run.snapshots / "epoch_000.npz", class_distances=hostile, allow_pickle=True)
    with pytest.raises(UserError, match=r"epoch_000\.npz cannot be read"):
        build_report(run.path)
    assert not (run.path / "trap").exists()


def test_the_hostile_files_would_work_elsewhere(run: RunDirectory) -> None:
    """The tests above could not fail if the trap did not spring."""
    spoil(run, "hostile")
    torch.load(run.last_checkpoint, weights_only=False)
    assert (run.path / "trap").exists()


def test_a_hostile_configuration_is_refused(run: RunDirectory) -> None:
    from collapse_lit.tracking.continuation import check_same_experiment

    run.append_history({"epoch": 0})
    trap = run.path / "trap"
    run.config.write_text(
        f"seed_everything: !!python/object/apply:os.mkdir [{json.dumps(str(trap))}]"
    )
    with pytest.raises(UserError, match=r"config\.yaml"):
        check_same_experiment(run, {}, {})
    assert not trap.exists()
