"""End a run on all ranks without loss, if it is asked to stop or if rank 0 has died."""

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
NAMES = {signal.SIGINT: "Ctrl-C"}  # the name that the user knows


class RunStopped(SystemExit):
    """The run was asked to stop; the same command continues it.

    Rank 0 exits with code 75, or with 130 after Ctrl-C. The other ranks exit with 0: if a rank
    fails, a launcher kills the ranks that are still closing their files.
    """

    def __init__(self, is_global_zero: bool = True, by: int = signal.SIGTERM) -> None:
        code = EXIT_INTERRUPTED if by == signal.SIGINT else EXIT_STOPPED
        super().__init__(code if is_global_zero else 0)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Inside, Ctrl-C ends the run with one line that says how to continue.

    Lightning would treat Ctrl-C as a failure of training. During training, :class:`StopOnSignal`
    handles the signal.
    """
    before = signal.signal(signal.SIGINT, _end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class StopOnSignal(L.Callback):
    """Stops training on all ranks together before the next batch after SIGTERM, SIGUSR1 or Ctrl-C.

    SLURM sends SIGTERM at preemption, ``scancel`` and the time limit. ``sbatch --signal`` can send
    SIGUSR1 some time before the limit. A stop saves nothing: the last epoch's checkpoint is
    complete, and a resumed run repeats the interrupted epoch bit by bit. A signal during the
    measurement at the end of an epoch waits for the checkpoint. A second Ctrl-C does not wait, and
    the epoch is lost. A process that only measures a network ends at once.

    This callback replaces Lightning's own handlers. They start a collective on each rank wherever
    the signal arrives, which can deadlock the ranks. It also replaces Lightning's broadcast before
    each batch, which makes the host wait for the device. The ranks agree on the CPU in parallel
    with training (:class:`Vote`), so the decision comes one batch later.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.done = 0
        self._is_global_zero = True
        self._ending_an_epoch = False
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._vote = Vote()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """End a rank started by Lightning when rank 0, its parent process, dies."""
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if not trainer.is_global_zero and isinstance(environment, LightningEnvironment):
            threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over the signals here, because Lightning registers its handlers after
        ``on_fit_start``.
        """
        self.done, self._is_global_zero = trainer.current_epoch, trainer.is_global_zero
        self._take_over(self._note)
        loop = trainer.fit_loop.epoch_loop
        loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # replaced by the vote
        self._vote = Vote(trainer.world_size)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End at once if a network is only measured; Lightning alone would not end at all."""

        def end(number: int, frame: FrameType | None) -> None:
            _say_stopped(number, trainer.is_global_zero)
            raise RunStopped(trainer.is_global_zero, number)

        if trainer.state.fn == "validate":
            self._take_over(end)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if any rank received a signal.

        Raises:
            RunStopped: A rank received a signal.
        """
        self.done, self._ending_an_epoch = trainer.current_epoch, False
        if self._vote.cast(self.received is not None):
            if trainer.is_global_zero:
                by = _name(self.received) if self.received else "a signal to another rank"
                print(
                    f"collapse-lit: stopped by {by} with {self.done} epochs done; "
                    "run the same command again to continue",
                    file=sys.stderr,
                    flush=True,
                )
            raise RunStopped(trainer.is_global_zero, self.received or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make signals wait until the next batch; Ctrl-C prints that it waits."""
        self._ending_an_epoch = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Finish the pending vote before the ranks end."""
        self._vote.close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Restore the earlier signal handlers."""
        while self._handlers_before:
            signal.signal(*self._handlers_before.popitem())

    def _take_over(self, handler: Callable[[int, FrameType | None], None]) -> None:
        if not self._handlers_before:  # training that ended during an epoch has no teardown
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
            _say(
                "stopping when this epoch is measured and saved; press Ctrl-C again to stop at once"
            )


def _name(number: int) -> str:
    return NAMES.get(signal.Signals(number), signal.Signals(number).name)


def _say(text: str) -> None:
    """Print from a signal handler, which may interrupt another print."""
    os.write(2, f"collapse-lit: {text}\n".encode())


def _say_stopped(number: int, is_global_zero: bool = True, so_far: str = "") -> None:
    if is_global_zero:
        _say(f"stopped by {_name(number)}{so_far}; run the same command again to continue")


def _end_at_once(number: int, frame: FrameType | None) -> None:
    _say_stopped(number)
    raise RunStopped(by=number)


def _end_with_parent() -> None:
    """End this process when its parent process dies, even during a collective."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    print("collapse-lit: rank 0 has died, so this rank ends too", file=sys.stderr, flush=True)
    os._exit(1)
