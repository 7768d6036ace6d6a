import json
import math
from pathlib import Path

import numpy as np
import pytest

from collapse_lit.errors import UserError
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import write_json, write_whole


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "one")
    run.create()
    return run


def test_history_holds_each_epoch_once(run: RunDirectory) -> None:
    for epoch in (0, 1, 1, 2):
        run.append_history({"epoch": epoch, "collapse/nc1": 1 / (epoch + 1)})
    assert [row["epoch"] for row in run.read_history()] == [0, 1, 2]


def test_a_line_torn_by_a_kill_is_left_out_and_then_replaced(run: RunDirectory) -> None:
    run.append_history({"epoch": 0, "x": 1.5})
    with run.history.open("a") as file:
        file.write('{"epoch": 1, "x": 2.')
    assert [row["epoch"] for row in run.read_history()] == [0]
    run.append_history({"epoch": 1, "x": 2.5})
    assert run.history.read_text() == '{"epoch": 0, "x": 1.5}\n{"epoch": 1, "x": 2.5}\n'


def test_epochs_beyond_the_checkpoint_are_forgotten(run: RunDirectory) -> None:
    for epoch in range(4):
        run.append_history({"epoch": epoch})
    assert run.forget_history_after(1) == 2
    assert [row["epoch"] for row in run.read_history()] == [0, 1]
    assert run.forget_history_after(1) == 0


def test_what_json_does_not_know_becomes_null(run: RunDirectory) -> None:
    run.append_history({"epoch": 0, "nc1": math.nan, "spaces": ["raw"], "list": [math.inf, 1]})
    text = run.history.read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "epoch": 0,
        "nc1": None,
        "spaces": ["raw"],
        "list": [None, 1],
    }


def test_floats_come_back_to_the_last_bit(run: RunDirectory) -> None:
    value = 0.1 + 0.2
    run.append_history({"epoch": 0, "x": value})
    assert run.read_history()[0]["x"] == value


def test_identity_stays_over_restarts(run: RunDirectory) -> None:
    first = run.identify(seed=3)
    again = RunDirectory(run.path).identify(seed=3)
    assert first == again
    assert first["name"] == "one"
    assert len(first["wandb_id"]) == 8
    assert first["versions"]["torch"]


def test_snapshots_come_back_by_epoch(run: RunDirectory) -> None:
    run.write_snapshot(10, {"class_distances": np.eye(2), "fine_names": ["a", "b"]})
    run.write_snapshot(9, {"class_distances": np.ones((2, 2))})
    snapshots = run.read_snapshots()
    assert list(snapshots) == [9, 10]
    assert snapshots[10]["fine_names"].tolist() == ["a", "b"]


def test_a_failed_write_leaves_the_old_file(run: RunDirectory, monkeypatch) -> None:
    path = run.path / "file.json"
    write_json(path, {"x": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"half")
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in run.path.iterdir() if p.is_file()] == ["file.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="run_dir: cannot write"):
        RunDirectory(tmp_path / "file" / "run").create()
