"""A run on a real SLURM with two tasks over gloo: after any stop, no epoch is lost or doubled."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from collapse_lit.tracking.run_directory import RunDirectory

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
OVER = ("FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
LONGEST = 600  # seconds that anything may take
Slurm = Callable[..., str]


class Job:
    """One submitted run of two tasks, on one node or on two."""

    def __init__(
        self, slurm: Slurm, run_dir: Path, epochs: int, *options: str, nodes: int = 1
    ) -> None:
        self.slurm, self.run, self.epochs = slurm, RunDirectory(run_dir), epochs
        self.log = run_dir.with_suffix(".out")
        self.id = slurm(
            *("sbatch", "--parsable", f"--nodes={nodes}", f"--ntasks-per-node={2 // nodes}"),
            *(f"--output={self.log}", *options),
            *(f"--chdir={ROOT}", str(ROOT / "configs/cluster/job.sbatch")),
            *(sys.executable, "-m", "collapse_lit", "fit"),
            *("--config", "configs/quickstart.yaml", "--run_dir", str(run_dir)),
            *("--trainer.num_nodes", f"{nodes}", "--trainer.devices", f"{2 // nodes}"),
            *("--trainer.accelerator", "cpu"),
            *("--model.backbone_args", "{width: 4}", "--trainer.limit_train_batches", "6"),
            *("--trainer.enable_model_summary", "false", "--wandb.mode", "offline"),
            *("--trainer.max_epochs", str(epochs)),
        )

    def show(self, field: str) -> str:
        """A field of ``scontrol show job``."""
        found = re.search(rf"\b{field}=(\S+)", self.slurm("scontrol", "show", "job", self.id))
        assert found is not None
        return found[1]

    @property
    def printed(self) -> str:
        """The end of what the job has said, when it has had time to."""
        time.sleep(2)
        return self.log.read_text()[-3000:]

    def wait(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened; a stopped job need not wait for its two minutes.

        But not start in the second that it was stopped in: the node would not take it back yet.
        """
        deadline = time.monotonic() + LONGEST
        while not happened():
            state = self.show("JobState")
            assert state not in OVER, self.slurm("scontrol", "show", "job", self.id) + self.printed
            assert time.monotonic() < deadline, self.printed
            if state == "PENDING" and self.show("Reason") == "BeginTime":
                time.sleep(2)
                self.slurm("scontrol", "update", f"jobid={self.id}", "StartTime=now")
            time.sleep(0.5)

    def wait_for_epoch(self, epoch: int) -> None:
        self.wait(lambda: len(self.run.read_history()) >= epoch)

    def wait_for_end(self) -> None:
        self.wait(lambda: self.show("JobState") == "COMPLETED")

    @property
    def restarts(self) -> int:
        return int(self.show("Restarts"))


@pytest.fixture(scope="module")
def whole(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that nothing interrupts."""
    job = Job(slurm, tmp_path_factory.mktemp("whole") / "run", 10)
    job.wait_for_end()
    assert job.restarts == 0
    return job.run


def test_requeued_and_signalled_it_ends_as_if_it_had_not_been(
    slurm: Slurm, tmp_path: Path, whole: RunDirectory
) -> None:
    job = Job(slurm, tmp_path / "run", 10)
    job.wait_for_epoch(2)
    slurm("scontrol", "requeue", job.id)
    job.wait(lambda: job.restarts == 1)
    job.wait_for_epoch(5)
    slurm("scancel", "--signal=USR1", job.id)  # what --signal sends before the time limit
    job.wait(lambda: job.restarts == 2)
    job.wait_for_epoch(7)
    slurm("scancel", "--signal=TERM", job.id)  # what preemption sends
    job.wait(lambda: job.restarts == 3)
    job.wait_for_end()

    assert job.run.history.read_bytes() == whole.history.read_bytes()
    first, second = (
        torch.load(run.last_checkpoint, weights_only=True)["state_dict"] for run in (job.run, whole)
    )
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    wandb_id = json.loads(job.run.identity.read_text())["wandb_id"]
    files = list((job.run.path / "wandb").glob("*run-*/*.wandb"))
    assert {file.stem for file in files} == {f"run-{wandb_id}"}
    print(f"\n{job.restarts} restarts; {len(files)} W&B files, one id; nothing differs")


def test_two_nodes_do_what_one_does_also_when_stopped(
    slurm: Slurm, tmp_path: Path, whole: RunDirectory
) -> None:
    job = Job(slurm, tmp_path / "run", 10, nodes=2)
    job.wait(lambda: f"{job.id}.0 " in slurm("squeue", "--steps", "--noheader"))
    slurm("scancel", "--signal=USR1", job.id)  # before the run can listen
    job.wait(lambda: job.restarts == 1)
    assert "srun ended with 138" in job.printed
    job.wait_for_epoch(3)
    slurm("scancel", "--signal=USR1", job.id)
    job.wait(lambda: job.restarts == 2)
    job.wait_for_end()
    assert job.run.history.read_bytes() == whole.history.read_bytes()
    print(f"\n{job.restarts} restarts on two nodes; nothing differs from one node")


def test_at_its_time_limit_it_goes_back_into_the_queue(slurm: Slurm, tmp_path: Path) -> None:
    """Twice. SLURM looks every half minute whose time is near: 60 to 90 seconds after the start."""
    job = Job(slurm, tmp_path / "run", 10_000, "--time=2", "--signal=USR1@30")
    done = [0]
    for restart in (1, 2):
        job.wait(lambda count=restart: job.restarts == count)
        done.append(len(job.run.read_history()))
        job.wait_for_epoch(done[-1] + 1)
    assert done == sorted(set(done)), "a start has added no epoch"
    said = job.printed
    slurm("scancel", job.id)
    assert "DUE TO TIME LIMIT" not in said
    epochs = [row["epoch"] for row in job.run.read_history()]
    assert epochs == list(range(len(epochs)))
    print(f"\ntwice at its time limit, with {done[1]} and {done[2]} epochs done; each once")
