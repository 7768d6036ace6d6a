"""Reproducible randomness for resumed runs."""

from typing import Any

import lightning as L
import torch


class EpochSeed(L.Callback):
    """Seeds torch before the first batch of each epoch from (seed, epoch, rank).

    Random layers such as dropout then draw the same numbers after a resume as without an
    interruption. The numbers differ between ranks and epochs.

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
