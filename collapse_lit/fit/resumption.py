"""Sees that a resumed run goes on as one, also with another number of processes."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch.optim.lr_scheduler import LambdaLR

from collapse_lit.callbacks.clean_pass import measuring_group
from collapse_lit.measure.distributed import concat_over_ranks


class Resumption(L.Callback):
    """Checks that all ranks resumed alike, and carries the schedule over to another world size.

    With another number of processes an epoch has another number of steps. The learning rate then
    goes on from the same share of training, not from the same number of steps. A run that is to be
    longer or shorter than it was goes on by the schedule of a run of that length.
    """

    def __init__(self) -> None:
        self.world_size = 0
        self.steps_per_epoch = 0
        self.max_epochs: int | None = 0

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint was trained with."""
        return {
            "world_size": self.world_size,
            "steps_per_epoch": self.steps_per_epoch,
            "max_epochs": self.max_epochs,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember what the checkpoint was trained with."""
        self.world_size = state_dict["world_size"]
        self.steps_per_epoch = state_dict["steps_per_epoch"]
        self.max_epochs = state_dict.get("max_epochs", 0)  # unknown to checkpoints of before

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare with the start before, and say what is different.

        Raises:
            RuntimeError: The ranks resumed from different epochs.
        """
        check_same_epoch(trainer)
        steps = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        if self.world_size not in (0, trainer.world_size):
            rank_zero_info(
                f"trained by {self.world_size} processes until now, goes on with "
                f"{trainer.world_size}: data.batch_size is for each of them, so a step now sees "
                f"{trainer.world_size / self.world_size:g} times as many images"
            )
        if self.steps_per_epoch not in (0, steps):
            rank_zero_info(
                f"an epoch had {self.steps_per_epoch} steps until now, and has {steps}: the "
                "learning rate goes on from the same share of training"
            )
            for config in trainer.lr_scheduler_configs:
                if config.interval == "step" and isinstance(config.scheduler, LambdaLR):
                    move_schedule(config.scheduler, trainer.current_epoch * steps)
        if self.max_epochs not in (0, trainer.max_epochs):
            rank_zero_info(
                f"was to train for {self.max_epochs} epochs until now, goes on to "
                f"{trainer.max_epochs}: the learning rate is that of a run of that length from here"
                " on, which may be higher than it was"
            )
        self.world_size, self.steps_per_epoch = trainer.world_size, steps
        self.max_epochs = trainer.max_epochs


def move_schedule(scheduler: LambdaLR, step: int) -> None:
    """Put a schedule where it is after ``step`` steps."""
    scheduler.last_epoch = step - 1
    scheduler.step()


def check_same_epoch(trainer: L.Trainer) -> None:
    """See that all ranks start with the same epoch.

    Raises:
        RuntimeError: They do not: on network file systems, a node can see an older checkpoint than
            another one for a while.
    """
    mine = torch.tensor([trainer.current_epoch], device=trainer.strategy.root_device)
    epochs = concat_over_ranks(mine, measuring_group(trainer)).tolist()
    if len(set(epochs)) > 1:
        raise RuntimeError(
            f"the ranks resumed from different checkpoints, after {epochs} epochs: their nodes do "
            "not see the same run directory yet; start again"
        )
