"""Ends a run that is asked to stop, or whose rank 0 is gone: on all ranks, losing nothing."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.plugins.environments import LightningEnvironment

from collapse_lit.errors import EXIT_STOPPED

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class RunStopped(SystemExit):
    """The run was asked to stop, and the same command goes on with it.

    Rank 0 exits with code 75. The others exit with 0: a launcher that sees a rank fail kills those
    that are still closing their files.
    """

    def __init__(self, is_global_zero: bool = True) -> None:
        super().__init__(EXIT_STOPPED if is_global_zero else 0)


class StopOnSignal(L.Callback):
    """Stops training before the next batch after SIGTERM or SIGUSR1, on all ranks at once.

    SIGTERM is what SLURM sends at preemption, ``scancel`` and the time limit; SIGUSR1 is what
    ``sbatch --signal`` is told to send some time before it. Nothing is saved then: the last epoch's
    checkpoint is whole, and a resumed run redoes the epoch under way to the last bit. A signal that
    comes while the end of an epoch is measured waits for its checkpoint. Where a network is only
    measured, the process ends at once.

    Lightning's own handlers are replaced: in them, each rank starts a collective wherever the
    signal finds it, which can leave all of them waiting.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._handlers_before: dict[signal.Signals, Any] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Bind the life of a rank that Lightning has started to that of rank 0, which did it."""
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if not trainer.is_global_zero and isinstance(environment, LightningEnvironment):
            threading.Thread(target=_end_with_parent, daemon=True, name="end-with-parent").start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over; Lightning registers its own handlers after ``on_fit_start``."""
        self._take_over(self._note)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End at once where a network is measured only: Lightning itself would not end at all."""

        def end(number: int, frame: FrameType | None) -> None:
            if trainer.is_global_zero:
                by = signal.Signals(number).name
                print(f"collapse-lit: stopped by {by}; the same command goes on", file=sys.stderr)
            raise RunStopped(trainer.is_global_zero)

        if trainer.state.fn == "validate":
            self._take_over(end)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop if any rank was asked to.

        Raises:
            RunStopped: One was.
        """
        asked = self.received is not None
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            if trainer.is_global_zero:
                by = self.received.name if self.received else "a signal to another rank"
                print(
                    f"collapse-lit: stopped by {by} with {trainer.current_epoch} epochs done; "
                    "the same command goes on",
                    file=sys.stderr,
                    flush=True,
                )
            raise RunStopped(trainer.is_global_zero)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        while self._handlers_before:
            signal.signal(*self._handlers_before.popitem())

    def _take_over(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handlers_before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even amid a collective."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    print("collapse-lit: rank 0 is gone, so this rank ends", file=sys.stderr, flush=True)
    os._exit(1)
