"""However often a run is killed, it ends as if it had not been: same bits, same history."""

import collections
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from collapse_lit.callbacks.interruption import EXIT_STOPPED
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows

EPOCHS = 8
PHASES = (
    *("starting", "reading the checkpoint", "training", "training", "measuring"),
    *("writing the checkpoint", "writing the checkpoint", "writing the snapshot"),
    *("writing the history", "drawing"),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
ARGUMENTS = ("--trainer.max_epochs", str(EPOCHS), "--checkpoint_every", "3")
SOON = 30  # seconds in which a process that was asked to stop shall have ended


def kill_in_phase(
    process: subprocess.Popen[str],
    phase_file: Path,
    phase: str,
    visit: int,
    delay: float,
    number: int,
) -> tuple[str, float]:
    """Send a signal in the ``visit``-th visit of a phase; returns where it hit and its time to end.

    The phase is "done" for a process that ended before.
    """
    before = ""
    while process.poll() is None:
        now = phase_file.read_text() if phase_file.exists() else ""
        visit -= now == phase and before != phase
        before = now
        if visit < 0 and now == phase:
            time.sleep(delay)
            hit = phase_file.read_text() or phase
            process.send_signal(number)
            sent = time.monotonic()
            process.communicate(timeout=SOON)
            return hit, time.monotonic() - sent
        time.sleep(0.001)
    return "done", 0.0


def check(run: RunDirectory, whole: RunDirectory) -> None:
    """Nothing is lost, nothing is there twice, nothing is left over."""
    first, second = (
        torch.load(r.last_checkpoint, weights_only=True)["state_dict"] for r in (run, whole)
    )
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert run.history.read_bytes() == whole.history.read_bytes()
    assert not list(run.path.rglob("*.partial"))
    wandb_id = json.loads(run.identity.read_text())["wandb_id"]
    files = sorted((run.path / "wandb").glob("*run-*/*.wandb"))
    assert {file.stem for file in files} == {f"run-{wandb_id}"}
    rows = [row for file in files for row in history_rows(file)]
    assert [row["epoch"] for row in rows if "collapse/nc1" in row] == list(range(EPOCHS))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20])
def test_a_run_killed_at_random_ends_as_if_it_had_not_been(
    start, tmp_path: Path, kills: int
) -> None:
    draw, seen, slowest = random.Random(0), collections.Counter[tuple[str, str]](), 0.0
    whole = start(tmp_path / "whole", *ARGUMENTS)
    assert whole.wait() == 0, whole.stdout.read()
    done, runs = 0, 0
    while done < kills:
        path = tmp_path / f"killed-{runs}"
        runs += 1
        identity, finished = "", False
        while not finished:
            phase_file = tmp_path / f"phase-{done}"
            phase_file.unlink(missing_ok=True)
            options = {"program": "traced.py", "PHASE_FILE": str(phase_file)}
            process = start(path, *ARGUMENTS, "--wandb.mode", "offline", **options)
            if done == kills:
                output, _ = process.communicate()
                assert process.returncode == 0, output
                break
            number, phase = draw.choice(SIGNALS), draw.choice(PHASES)
            visit = draw.randrange(8 if phase == "training" else 2)
            delay = draw.random() * 0.1
            hit, seconds = kill_in_phase(process, phase_file, phase, visit, delay, number)
            finished = hit == "done"
            if finished:
                assert process.returncode == 0, process.stdout.read()
                continue
            done += 1
            seen[number.name, hit] += 1
            slowest = max(slowest, seconds)
            assert process.returncode in (-number, EXIT_STOPPED), process.stdout.read()
            run = RunDirectory(path)
            if identity:
                assert run.identity.read_text() == identity
            identity = run.identity.read_text() if run.identity.exists() else ""
        check(RunDirectory(path), RunDirectory(tmp_path / "whole"))
    print(f"\n{done} kills over {runs} runs of {EPOCHS} epochs, slowest end {slowest:.1f} s")
    for (name, phase), count in sorted(seen.items()):
        print(f"  {name:8} {phase:24} {count}")
