"""Measuring a run's checkpoints again: the same options give the same numbers."""

import json
import os
import signal
from pathlib import Path

import pytest
from reliability.processes import DIGITS
from torch import Tensor, nn

from collapse_lit.callbacks import RecoveryMonitor
from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory


class SetsItselfUp(nn.Module):
    """A backbone that starts from what it sees of the data, whenever it is set up."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 8)

    def initialise_from(self, images: Tensor) -> None:
        nn.init.eye_(self.linear.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)).relu()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Five epochs of a network that sets itself up from the data; two are kept, and the last."""
    run = tmp_path_factory.mktemp("trained") / "run"
    network = ["--model.backbone", "fit.test_remeasure.SetsItselfUp", "--model.backbone_args", "{}"]
    options = ["--trainer.max_epochs", "5", "--checkpoint_every", "2", "--run_dir", str(run)]
    assert main(["fit", *DIGITS, *network, *options]) == 0
    return RunDirectory(run)


def test_the_kept_epochs_are_measured_again_as_they_were(trained: RunDirectory, tmp_path: Path):
    arguments = ["remeasure", str(trained.path), "--out", str(tmp_path / "again")]
    assert main(arguments) == 0
    again = RunDirectory(tmp_path / "again")
    before = {row["epoch"]: row for row in trained.read_history()}
    assert again.read_history() == [before[1], before[3], before[4]]
    summaries = [json.loads(run.summary.read_text()) for run in (trained, again)]
    assert summaries[0]["wall_seconds"] == summaries[1]["wall_seconds"]
    assert again.report.exists()
    assert (again.figures / "recovery.png").exists()

    history = again.history.stat()
    assert main(arguments) == 0  # nothing is left to do
    assert again.history.stat().st_mtime_ns == history.st_mtime_ns


def test_a_history_without_checkpoints_is_not_trained_over(
    trained: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture
):
    again = RunDirectory(tmp_path / "again")
    assert main(["remeasure", str(trained.path), "--out", str(again.path)]) == 0
    history = again.history.read_bytes()
    arguments = ["fit", "--config", str(again.config), "--run_dir", str(again.path)]
    assert main(arguments) == 2
    assert "has 3 measured epochs but no checkpoint" in capsys.readouterr().err
    assert again.history.read_bytes() == history


def test_other_options_of_recovery_leave_the_collapse_alone(trained: RunDirectory, tmp_path: Path):
    out = RunDirectory(tmp_path / "three")
    options = ["--recovery.k=3", "--recovery.layers=[backbone.linear]"]
    assert main(["remeasure", str(trained.path), "--out", str(out.path), *options]) == 0
    before, after = trained.read_history()[-1], out.read_history()[-1]
    assert after["recovery/separation"] != before["recovery/separation"]
    at_layer = after["recovery_layers/backbone.linear/separation"]  # before the ReLU
    assert at_layer not in (None, after["recovery/separation"])
    collapse = {key for key in before if key.startswith("collapse")}
    assert {key: after[key] for key in collapse} == {key: before[key] for key in collapse}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data.batch_size", "30"], "data.batch_size was 64, now 30"),
        (["--recovery.knn", "3"], "recovery.knn"),
    ],
)
def test_another_experiment_is_refused(
    trained: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture, options: list, said: str
):
    assert main(["remeasure", str(trained.path), "--out", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_cannot_be_measured_is_named(
    trained: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert main(["remeasure", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "this is not a run directory" in capsys.readouterr().err
    assert main(["remeasure", str(trained.path), "--out", str(trained.path)]) == 2
    assert "choose another directory" in capsys.readouterr().err
    empty = RunDirectory(tmp_path / "empty")
    empty.create()
    empty.config.write_bytes(trained.config.read_bytes())
    assert main(["remeasure", str(empty.path), "--out", str(tmp_path / "out")]) == 2
    assert "has no checkpoint" in capsys.readouterr().err
    empty.last_checkpoint.write_bytes(b"torn")
    assert main(["remeasure", str(empty.path), "--out", str(tmp_path / "out")]) == 2
    assert "this checkpoint cannot be measured" in capsys.readouterr().err


def test_a_signal_ends_it_at_once_and_the_same_command_goes_on(
    trained: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = ["remeasure", str(trained.path), "--out", str(tmp_path / "out")]
    measure = RecoveryMonitor.measure

    def interrupted(self, *features):
        if len(RunDirectory(tmp_path / "out").read_history()) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, *features)

    monkeypatch.setattr(RecoveryMonitor, "measure", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 75
    assert [row["epoch"] for row in RunDirectory(tmp_path / "out").read_history()] == [1]
    monkeypatch.undo()
    assert main(arguments) == 0
    assert [row["epoch"] for row in RunDirectory(tmp_path / "out").read_history()] == [1, 3, 4]
