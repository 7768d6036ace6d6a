"""Randomness that a resumed run finds again."""

from typing import Any

import lightning as L
import torch


class EpochSeed(L.Callback):
    """Seeds torch before the first batch of each epoch from (seed, epoch, rank).

    Whatever draws random numbers in the network, dropout for one, then draws the same after a
    resume as it would have without the interruption, and other numbers on each rank and in each
    epoch.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the default generators of all devices."""
        # Not in on_train_epoch_start: Lightning skips that hook in the first epoch after a resume.
        if batch_idx == 0:
            mixed = self.seed * 1_000_003 + trainer.current_epoch * 10_007 + trainer.global_rank
            torch.manual_seed(mixed)
