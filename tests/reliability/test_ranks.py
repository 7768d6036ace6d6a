"""Several processes train one run, even with another number of processes or a process that dies."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reliability.processes import ROOT, VECTORS

from collapse_lit.fit.interruption import EXIT_STOPPED
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows
from collapse_lit.tracking.weights_and_biases import MEASURED

OFFLINE = [*VECTORS, "--wandb.mode", "offline"]


@pytest.fixture
def launch() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """``launch(run_dir)``: two processes, started by Lightning as by ``--trainer.devices 2``."""
    launched = []

    def start(run_dir: Path) -> subprocess.Popen[str]:
        arguments = [*OFFLINE, "--run_dir", str(run_dir), "--trainer.devices", "2"]
        arguments += ["--trainer.max_epochs", "500"]
        process = subprocess.Popen(
            [sys.executable, "-m", "collapse_lit", "fit", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        launched.append(process)
        return process

    yield start
    for process in launched:
        process.kill()
        process.communicate()


def wait_for_epoch(process: subprocess.Popen[str], run: RunDirectory) -> None:
    before = len(run.read_history())
    while len(run.read_history()) == before:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)


def other_rank(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (pid,) = (p for p in children if b"collapse_lit" in Path(f"/proc/{p}/cmdline").read_bytes())
    return int(pid)


def wandb_files(run: RunDirectory) -> list[Path]:
    return list((run.path / "wandb").glob("offline-run-*/run-*.wandb"))


def has_ended(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or bool(re.search(r"^State:\s+Z", status.read_text(), re.M))


@pytest.mark.long
@pytest.mark.ddp
@pytest.mark.slow
def test_a_run_goes_on_with_other_processes_and_ends_with_any_of_them(
    start, launch, tmp_path: Path
) -> None:
    alone = start(tmp_path / "run", *OFFLINE, "--trainer.max_epochs", "1")
    assert alone.end() == 0, alone.printed
    run = alone.run

    two = launch(run.path)
    wait_for_epoch(two, run)
    os.kill(other_rank(two), signal.SIGTERM)  # to one of both: all stop at the same batch
    said, _ = two.communicate(timeout=30)
    assert two.returncode == EXIT_STOPPED, said
    assert "the number of processes changes from 1 to 2" in said
    assert "the number of steps per epoch changes from 6 to 4" in said
    assert "stopped by a signal to another rank" in said
    assert len(wandb_files(run)) == 2  # one a start, none of rank 1

    two = launch(run.path)
    wait_for_epoch(two, run)
    other = other_rank(two)
    os.kill(other, signal.SIGKILL)
    began = time.monotonic()
    said, _ = two.communicate(timeout=60)
    print(f"\na rank was killed; the other ended after {time.monotonic() - began:.1f} s")
    assert two.returncode not in (0, EXIT_STOPPED)
    assert "Connection closed by peer" in said or "terminated with code -9" in said
    assert has_ended(other)

    done = len(run.read_history())
    assert done >= 3
    alone = start(run.path, *OFFLINE, "--trainer.max_epochs", str(done + 1))
    assert alone.end() == 0, alone.printed
    assert "the number of processes changes from 2 to 1" in alone.printed
    assert [row["epoch"] for row in run.read_history()] == list(range(done + 1))
    assert len(wandb_files(run)) in (3, 4)  # one a start, but what was killed before W&B wrote
    rows = [row for file in wandb_files(run) for row in history_rows(file)]
    assert sorted(row[MEASURED] for row in rows if MEASURED in row) == list(range(done + 1))


@pytest.mark.ddp
@pytest.mark.kills
def test_a_rank_does_not_outlive_its_launcher(launch, tmp_path: Path) -> None:
    two = launch(tmp_path / "run")
    wait_for_epoch(two, RunDirectory(tmp_path / "run"))
    other = other_rank(two)
    two.kill()
    deadline = time.monotonic() + 60
    while not has_ended(other):
        assert time.monotonic() < deadline
        time.sleep(0.1)
