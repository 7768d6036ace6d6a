"""Training that ends early keeps complete epochs, measures the last one, and can continue."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reliability.processes import ROOT, VECTORS

from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows

EARLY = [
    *("--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping",),
    *("--trainer.callbacks.monitor=collapse/nc1", "--trainer.callbacks.min_delta=100"),
]
SELDOM = ["--collapse.every_n_epochs", "1000", "--recovery.every_n_epochs", "1000"]


def checkpoint(run: RunDirectory) -> dict:
    return torch.load(run.last_checkpoint, weights_only=True)


def check_last_epoch(run: RunDirectory) -> None:
    """Each epoch is there once, and the last whole one is measured."""
    epochs = [row["epoch"] for row in run.read_history()]
    assert epochs == sorted(set(epochs))
    assert epochs[-1] == checkpoint(run)["epoch"]
    last = run.read_history()[-1]
    assert {"train/loss", "collapse/nc1", "recovery/clp_test"} <= last.keys()


def check_same(run: RunDirectory, whole: RunDirectory) -> None:
    one, other = checkpoint(run), checkpoint(whole)
    assert one["global_step"] == other["global_step"]
    weights = one["state_dict"], other["state_dict"]
    assert [key for key in weights[0] if not torch.equal(weights[0][key], weights[1][key])] == []
    assert run.history.read_bytes() == whole.history.read_bytes()


def shown_by_wandb(run: RunDirectory) -> list[int]:
    files = sorted((run.path / "wandb").glob("*run-*/*.wandb"))
    rows = [row for file in files for row in history_rows(file)]
    return [row["epoch"] for row in rows if "collapse/nc1" in row]


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_epoch_cut_by_max_steps_is_done_again(start, tmp_path: Path, accumulate: int) -> None:
    data = [*VECTORS, "--model.schedule", "onecycle", "--trainer.max_epochs", "3"]
    data += ["--trainer.accumulate_grad_batches", str(accumulate), "--wandb.mode", "offline"]
    whole = start(tmp_path / "whole", *data)
    steps = 9 // accumulate  # one epoch and a half
    for _ in range(2):  # the second has nothing to train
        cut = start(tmp_path / "cut", *data, "--trainer.max_steps", str(steps))
        assert cut.end() == 0, cut.printed
        assert [row["epoch"] for row in cut.run.read_history()] == [0]
        check_last_epoch(cut.run)
    said = (
        "1 complete epoch is done. Run the same command with a larger trainer.max_steps to continue"
    )
    assert f"stopped by trainer.max_steps={steps} during epoch 1; {said}" in cut.printed
    assert f"stopped by trainer.max_steps={steps} after epoch 0; {said}" in cut.printed
    assert start(cut.run.path, *data).end() == 0
    assert whole.end() == 0, whole.printed
    check_same(cut.run, whole.run)
    assert shown_by_wandb(cut.run) == [0, 1, 2]
    if accumulate == 1:
        again = start(cut.run.path, *data)
        assert again.end() == 0
        assert "this run is done: 3 complete epochs are trained" in again.printed


@pytest.mark.slow
def test_max_steps_at_the_end_of_an_epoch_keeps_it(start, tmp_path: Path) -> None:
    data = [*VECTORS, *SELDOM, "--trainer.max_epochs", "9", "--wandb.mode", "offline"]
    process = start(tmp_path / "run", *data, "--trainer.max_steps", "12")
    assert process.end() == 0, process.printed
    assert "after epoch 1; 2 complete epochs are done" in process.printed
    check_last_epoch(process.run)
    assert shown_by_wandb(process.run) == [1]
    before = process.run.history.read_text()
    process = start(tmp_path / "run", *data, "--trainer.max_steps", "18")
    assert process.end() == 0, process.printed
    check_last_epoch(process.run)
    assert process.run.history.read_text().startswith(before)
    assert shown_by_wandb(process.run) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("often", [[], SELDOM], ids=["every epoch", "seldom"])
def test_an_epoch_cut_by_max_time_is_done_again(start, tmp_path: Path, often: list[str]) -> None:
    data = [*VECTORS, *often]
    limits = ["--trainer.max_epochs", "1000", "--trainer.max_time", "00:00:00:02"]
    cut = start(tmp_path / "cut", *data, *limits, traced=True)
    assert cut.end() == 0, cut.printed
    assert "stopped by trainer.max_time" in cut.printed
    assert "Run the same command with a larger trainer.max_time to continue" in cut.printed
    check_last_epoch(cut.run)
    done = checkpoint(cut.run)["epoch"] + 1
    assert checkpoint(cut.run)["global_step"] == 6 * done
    data += ["--trainer.max_epochs", str(done + 1)]
    again, whole = start(tmp_path / "cut", *data), start(tmp_path / "whole", *data)
    assert (again.end(), whole.end()) == (0, 0), again.printed
    check_last_epoch(again.run)
    if not often:
        check_same(again.run, whole.run)


@pytest.mark.slow
def test_no_whole_epoch_is_said_and_leaves_nothing(start, tmp_path: Path) -> None:
    data = [*VECTORS, "--trainer.max_epochs", "3"]
    steps = start(tmp_path / "steps", *data, "--trainer.max_steps", "5")
    slow = ["--trainer.max_time", "00:00:00:00"]
    seconds = start(tmp_path / "seconds", *data, *slow)
    for process, said in ((steps, "set 6 or more"), (seconds, "trainer.max_time")):
        assert process.end() == 2, process.printed
        assert said in process.printed
        assert "Traceback" not in process.printed
        assert not process.run.path.exists()


@pytest.mark.slow
def test_an_early_stopped_run_is_done_until_it_is_asked_for_more(start, tmp_path: Path) -> None:
    data = [*VECTORS, "--trainer.max_epochs", "20", *EARLY]
    stopped = [*data, "--trainer.callbacks.patience=1"]
    process = start(tmp_path / "run", *stopped)
    assert process.end() == 0, process.printed
    said = "stopped early at epoch 1 by EarlyStopping on collapse/nc1; 2 complete epochs are done"
    assert process.printed.count(said) == 1
    history, weights = process.run.history.read_bytes(), checkpoint(process.run)
    process = start(tmp_path / "run", *stopped)
    assert process.end() == 0, process.printed
    assert process.printed.count(said) == 2
    assert process.run.history.read_bytes() == history
    assert checkpoint(process.run)["global_step"] == weights["global_step"]
    process = start(tmp_path / "run", *data, "--trainer.callbacks.patience=3")
    assert process.end() == 0, process.printed
    assert "stopped early at epoch 3 by EarlyStopping on collapse/nc1" in process.printed
    check_last_epoch(process.run)
    process = start(tmp_path / "run", *VECTORS, "--trainer.max_epochs", "5")  # without it
    assert process.end() == 0, process.printed
    assert [row["epoch"] for row in process.run.read_history()] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_an_early_stopped_run_has_its_last_epoch_measured(start, tmp_path: Path) -> None:
    """Patience counts measurements where not every epoch is measured."""
    often = ["--collapse.every_n_epochs", "2", "--recovery.every_n_epochs", "1000"]
    data = [*VECTORS, *often, "--trainer.max_epochs", "20", *EARLY, "--wandb.mode", "offline"]
    process = start(tmp_path / "run", *data, "--trainer.callbacks.patience=1")
    assert process.end() == 0, process.printed
    assert "stopped early at epoch 3 by EarlyStopping on collapse/nc1" in process.printed
    check_last_epoch(process.run)
    assert [row["epoch"] for row in process.run.read_history()] == [1, 3]
    assert {"class_distances", "xy"} <= process.run.read_snapshots()[3].keys()
    assert shown_by_wandb(process.run) == [1, 3]


@pytest.mark.slow
def test_all_ranks_leave_a_cut_epoch_alike(tmp_path: Path) -> None:
    limits = ["--trainer.devices", "2", "--trainer.max_epochs", "3", "--trainer.max_steps", "9"]
    command = [sys.executable, "-m", "collapse_lit", "fit", *VECTORS, *SELDOM, *limits]
    run = RunDirectory(tmp_path / "run")
    done = subprocess.run(
        [*command, "--run_dir", str(run.path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("during epoch 2; 2 complete epochs are done") == 1, done.stdout
    check_last_epoch(run)
    assert checkpoint(run)["global_step"] == 8
