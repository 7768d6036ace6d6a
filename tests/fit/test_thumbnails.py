"""Thumbnails show the samples of the scatter plot, are written once, and never stop a run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reliability.processes import DIGITS, VECTORS

from collapse_lit.cli import main
from collapse_lit.data import CoarseDataModule
from collapse_lit.fit import figures as run_pictures
from collapse_lit.pages import Sprite
from collapse_lit.tracking.run_directory import RunDirectory


def fit(run_dir: Path, epochs: int, options: list[str]) -> RunDirectory:
    arguments = [*options, "--run_dir", str(run_dir), "--trainer.max_epochs", str(epochs)]
    assert main(["fit", *arguments]) == 0
    return RunDirectory(run_dir)


@pytest.mark.slow
def test_they_are_of_the_samples_in_every_snapshot_and_kept_once(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", 1, DIGITS)
    before = run.thumbnails.stat().st_mtime_ns
    fit(tmp_path / "run", 2, DIGITS)
    assert run.thumbnails.stat().st_mtime_ns == before
    kept = run.read_thumbnails()
    assert kept is not None
    sprite = Sprite.from_arrays(kept)
    snapshots = run.read_snapshots()
    assert list(snapshots) == [0, 1]
    for snapshot in snapshots.values():
        assert np.array_equal(snapshot["index"], sprite.index)
    train = CoarseDataModule().labelled.train
    assert sprite.side == train.picture(0).width == 8

    run.thumbnails.unlink()  # as a run of an earlier version
    fit(tmp_path / "run", 3, DIGITS)
    assert run.thumbnails.exists()


@pytest.mark.slow
def test_an_untrained_network_has_them_too(tmp_path: Path) -> None:
    assert fit(tmp_path / "run", 0, DIGITS).thumbnails.exists()


@pytest.mark.slow
def test_vectors_have_none(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", 1, VECTORS)
    assert not run.thumbnails.exists()
    assert run.report.exists()


@pytest.mark.slow
def test_that_they_fail_is_one_warning(tmp_path: Path, monkeypatch, recwarn) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_pictures, "keep_thumbnails", fail)
    run = fit(tmp_path / "run", 2, VECTORS)
    said = [str(w.message) for w in recwarn if "could not draw the figures" in str(w.message)]
    assert len(said) == 1
    assert len(run.read_history()) == 2


@pytest.mark.long
@pytest.mark.ddp
@pytest.mark.slow
def test_one_of_two_processes_keeps_those_of_both(tmp_path: Path) -> None:
    arguments = [*DIGITS, "--run_dir", str(tmp_path / "run"), "--trainer.max_epochs", "1"]
    command = [sys.executable, "-m", "collapse_lit", "fit", *arguments, "--trainer.devices", "2"]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    run = RunDirectory(tmp_path / "run")
    kept = run.read_thumbnails()
    assert kept is not None
    assert np.array_equal(kept["index"], np.arange(1297))
    assert np.array_equal(run.read_snapshots()[0]["index"], kept["index"])
    assert list(run.snapshots.glob(".*")) == []
