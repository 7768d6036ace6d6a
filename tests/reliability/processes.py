"""Runs in processes of their own, which a test can watch and kill.

They are forked from a process that has imported everything, which saves five seconds a start.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from collapse_lit.tracking.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
COMMON = [
    *("--trainer.accelerator", "cpu", "--trainer.enable_model_summary", "false"),
    *("--trainer.limit_train_batches", "6", "--wandb.mode", "disabled"),
]
# As in the quickstart, with a smaller network.
DIGITS = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), *COMMON),
    *("--model.backbone_args", "{width: 4}", "--data.augment", "crop"),
]
# A few vectors, measured in a third of the time.
VECTORS = [
    *("--config", str(ROOT / "configs/gaussian.yaml"), *COMMON, "--data.batch_size", "25"),
    *("--data.gaussian.per_class", "20", "--model.backbone_args", "{width: 16, depth: 1}"),
    *("--collapse.every_n_epochs", "1", "--recovery.every_n_epochs", "1"),
]
SLOW = 0.05  # seconds a step and a write of a traced run take at least: time for a kill amid one
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["collapse_lit.fit.command", "faiss", "matplotlib.pyplot", "wandb"])


class Process:
    """``collapse-lit fit`` in a process of its own.

    Args:
        run_dir: Where to. What the process prints goes to a file beside it.
        arguments: Options of ``fit``.
        traced: Tell in ``phase`` what the process is doing, and let its steps and disk be slow.
        environment: Variables that it gets besides those of the tests.
    """

    def __init__(
        self, run_dir: Path, *arguments: str, traced: bool = False, **environment: str
    ) -> None:
        self.run = RunDirectory(run_dir)
        self._printed = run_dir.with_name(f"{run_dir.name}.out")
        self._phase = RawArray("c", 40)
        self._process = FORKS.Process(
            target=_fit,
            args=(
                ["fit", *arguments, "--run_dir", str(run_dir)],
                self._printed,
                environment,
                self._phase if traced else None,
            ),
        )
        self._process.start()

    @property
    def phase(self) -> str:
        """What a traced process is doing."""
        return self._phase.value.decode()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def printed(self) -> str:
        """What this process and those before it in the same directory have said."""
        return self._printed.read_text()

    def wait_for_epochs(self, count: int) -> None:
        """Wait until that many epochs are in the history."""
        while len(self.run.read_history()) < count:
            assert self.is_alive, self.printed
            time.sleep(0.01)

    @property
    def children(self) -> list[int]:
        """Processes that it has started: W&B's."""
        pid = self._process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL also to the processes it has started, as a scheduler does."""
        for pid in (self._process.pid, *(self.children if number == signal.SIGKILL else ())):
            os.kill(pid, number)

    def end(self, seconds: float = 60) -> int:
        """Wait for the process to end by itself, and return its exit code."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"hangs: {self.printed}"
        return self._process.exitcode

    def kill(self) -> None:
        if self.is_alive:
            self.send(signal.SIGKILL)
            self._process.join()


def _fit(arguments: list[str], printed: Path, environment: Mapping[str, str], phase: Any) -> None:
    from drawing import draw_one_figure

    from collapse_lit.cli import main

    file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.environ.pop("WANDB_SERVICE", None)  # a run starts a W&B of its own, not that of these tests
    os.environ.update(environment)
    draw_one_figure()
    if phase is not None:
        _trace(phase)
    sys.exit(main(arguments))


def _trace(phase: Any) -> None:
    from collapse_lit.callbacks.monitor import Monitor
    from collapse_lit.fit import command
    from collapse_lit.fit.figures import RunPictures
    from collapse_lit.models import CoarseClassifier
    from collapse_lit.tracking.checkpoints import WholeCheckpointIO

    def tell(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def told(*args: Any, **kwargs: Any) -> Any:
            phase.value = name.encode()
            result = original(*args, **kwargs)
            phase.value = b"between"
            return result

        setattr(owner, method, told)

    def slow(function: Any) -> Any:
        return lambda *arguments: (time.sleep(SLOW), function(*arguments))[1]

    phase.value = b"starting"
    os.fsync = slow(os.fsync)
    CoarseClassifier.training_step = slow(CoarseClassifier.training_step)
    tell(command, "newest_checkpoint", "reading the checkpoint")
    tell(CoarseClassifier, "training_step", "training")
    tell(Monitor, "_run", "measuring")
    tell(WholeCheckpointIO, "save_checkpoint", "writing the checkpoint")
    tell(RunDirectory, "write_snapshot", "writing the snapshot")
    tell(RunDirectory, "append_history", "writing the history")
    tell(RunPictures, "_draw", "drawing")
