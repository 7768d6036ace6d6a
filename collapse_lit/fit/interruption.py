"""Ends a run that is asked to stop, or whose rank 0 is gone: on all ranks, losing nothing."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.plugins.environments import LightningEnvironment

from collapse_lit.errors import EXIT_INTERRUPTED, EXIT_STOPPED
from collapse_lit.fit.vote import Vote

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
NAMES = {signal.SIGINT: "Ctrl-C"}  # as its sender knows it


class RunStopped(SystemExit):
    """The run was asked to stop, and the same command goes on with it.

    Rank 0 exits with code 75, after Ctrl-C with 130. The others exit with 0: a launcher that sees a
    rank fail kills those that are still closing their files.
    """

    def __init__(self, is_global_zero: bool = True, by: int = signal.SIGTERM) -> None:
        code = EXIT_INTERRUPTED if by == signal.SIGINT else EXIT_STOPPED
        super().__init__(code if is_global_zero else 0)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Inside, Ctrl-C ends the run with a line that says what the same command will do.

    Lightning would take it for a failure of the training. While epochs are trained,
    :class:`StopOnSignal` has the signal.
    """
    before = signal.signal(signal.SIGINT, _end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class StopOnSignal(L.Callback):
    """Stops training before the next batch after SIGTERM, SIGUSR1 or Ctrl-C, on all ranks at once.

    SIGTERM is what SLURM sends at preemption, ``scancel`` and the time limit; SIGUSR1 is what
    ``sbatch --signal`` is told to send some time before it. Nothing is saved then: the last epoch's
    checkpoint is whole, and a resumed run redoes the epoch under way to the last bit. A signal that
    comes while the end of an epoch is measured waits for its checkpoint. Ctrl-C does not wait for
    it a second time, and the epoch is lost. Where a network is only measured, the process ends at
    once.

    Lightning's own handlers are replaced: in them, each rank starts a collective wherever the
    signal finds it, which can leave all of them waiting. Its broadcast before each batch, which
    makes the host wait for the device, goes with them. Between ranks the decision travels on the
    CPU beside the training (:class:`Vote`), so that it comes one batch later.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.done = 0
        self._is_global_zero = True
        self._ending_an_epoch = False
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._vote = Vote()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Bind the life of a rank that Lightning has started to that of rank 0, which did it."""
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if not trainer.is_global_zero and isinstance(environment, LightningEnvironment):
            threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over; Lightning registers its own handlers after ``on_fit_start``."""
        self.done, self._is_global_zero = trainer.current_epoch, trainer.is_global_zero
        self._take_over(self._note)
        loop = trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # has no news
        self._vote = Vote(trainer.world_size)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End at once where a network is measured only: Lightning itself would not end at all."""

        def end(number: int, frame: FrameType | None) -> None:
            _say_stopped(number, trainer.is_global_zero)
            raise RunStopped(trainer.is_global_zero, number)

        if trainer.state.fn == "validate":
            self._take_over(end)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if any rank was asked to.

        Raises:
            RunStopped: One was.
        """
        self.done, self._ending_an_epoch = trainer.current_epoch, False
        if self._vote.cast(self.received is not None):
            if trainer.is_global_zero:
                by = _name(self.received) if self.received else "a signal to another rank"
                print(
                    f"collapse-lit: stopped by {by} with {self.done} epochs done; "
                    "the same command goes on",
                    file=sys.stderr,
                    flush=True,
                )
            raise RunStopped(trainer.is_global_zero, self.received or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here to the next batch a signal waits, which Ctrl-C says."""
        self._ending_an_epoch = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let no vote be under way when the ranks part."""
        self._vote.close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        while self._handlers_before:
            signal.signal(*self._handlers_before.popitem())

    def _take_over(self, handler: Callable[[int, FrameType | None], None]) -> None:
        if not self._handlers_before:  # a training that ended amid an epoch has no teardown
            self._handlers_before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.received == number == signal.SIGINT
        self.received = signal.Signals(number)
        if again:
            _say_stopped(number, self._is_global_zero, f" with {self.done} epochs done")
            raise RunStopped(self._is_global_zero, number)
        if number == signal.SIGINT and self._ending_an_epoch and self._is_global_zero:
            _say("stops when this epoch is measured and saved; Ctrl-C again stops at once")


def _name(number: int) -> str:
    return NAMES.get(signal.Signals(number), signal.Signals(number).name)


def _say(text: str) -> None:
    """Print from a signal handler, which may have come amid another print."""
    os.write(2, f"collapse-lit: {text}\n".encode())


def _say_stopped(number: int, is_global_zero: bool = True, so_far: str = "") -> None:
    if is_global_zero:
        _say(f"stopped by {_name(number)}{so_far}; the same command goes on")


def _end_at_once(number: int, frame: FrameType | None) -> None:
    _say_stopped(number)
    raise RunStopped(by=number)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even amid a collective."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    print("collapse-lit: rank 0 is gone, so this rank ends", file=sys.stderr, flush=True)
    os._exit(1)
