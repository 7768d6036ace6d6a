"""A run that is killed many times ends with the same bits and history as an undisturbed run."""

import collections
import itertools
import json
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from reliability.processes import DIGITS, VECTORS, Process

from collapse_lit.errors import EXIT_STOPPED
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows

EPOCHS = 5
PHASES = (
    *("starting", "reading the checkpoint", "training", "measuring", "writing the snapshot"),
    *("writing the checkpoint", "writing the history", "drawing"),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)


def interrupt(process: Process, draw: random.Random) -> tuple[str, str]:
    """Send a random signal at a random moment, and see the process end.

    Returns:
        The signal and what it hit; for a process that ended before, "none" and "the end".
    """
    number, wanted = draw.choice(SIGNALS), draw.choice(PHASES)
    visits = draw.randrange(8 if wanted == "training" else 2) + 1
    delay, before = draw.random() * 0.05, ""
    while process.is_alive:
        phase = process.phase
        visits -= phase == wanted != before
        before = phase
        if not visits:
            time.sleep(delay)
            hit = process.phase
            process.send(number)
            code = process.end(seconds=30)
            # 0: it came after the last batch, and the run was done with
            assert code in (-number, EXIT_STOPPED, 0), process.printed
            return number.name, hit
        time.sleep(0.001)
    assert process.end() == 0, process.printed
    return "none", "the end"


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
    shown = [(row["epoch"], row["collapse/nc1"]) for row in rows if "collapse/nc1" in row]
    known = [(row["epoch"], row["collapse/nc1"]) for row in run.read_history()]
    assert [epoch for epoch, _ in shown] == list(range(EPOCHS))
    assert dict(shown) == pytest.approx(dict(known))  # Lightning logs in float32


@pytest.mark.parametrize(
    ("kills", "data"),
    [
        pytest.param(4, VECTORS, marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param(20, DIGITS, marks=pytest.mark.kills),
    ],
    ids=["4", "20"],
)
def test_a_run_killed_at_random_ends_as_if_it_had_not_been(
    start, tmp_path: Path, kills: int, data: list[str]
) -> None:
    data = [*data, "--trainer.max_epochs", str(EPOCHS), "--checkpoint_every", "3"]
    whole = start(tmp_path / "whole", *data)
    assert whole.end(seconds=120) == 0, whole.printed
    draw, hits = random.Random(0), collections.Counter[tuple[str, str]]()
    for number in itertools.count():
        path = tmp_path / f"killed-{number}"
        hit = ("", "")
        while hit[0] != "none" and hits.total() < kills:
            process = start(path, *data, "--wandb.mode", "offline", traced=True)
            hit = interrupt(process, draw)
            hits[hit] += hit[0] != "none"
        process = start(path, *data, "--wandb.mode", "offline")
        assert process.end() == 0, process.printed
        check(process.run, whole.run)
        if hits.total() == kills:
            break
    print(f"\n{kills} kills in {number + 1} runs of {EPOCHS} epochs, each ended to the bit")
    for (name, phase), count in sorted((+hits).items()):
        print(f"  {name:8} {phase:24} {count}")
