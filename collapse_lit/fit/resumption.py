"""Keep a resumed run consistent, even with another number of processes."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch.optim.lr_scheduler import LambdaLR

from collapse_lit.callbacks.clean_pass import measuring_group
from collapse_lit.measure.distributed import concat_over_ranks


class Resumption(L.Callback):
    """Checks that all ranks resumed from the same epoch, and adapts the schedule to the world size.

    With another number of processes, an epoch has another number of steps. The learning rate then
    continues from the same share of training, not from the same number of steps. If the length of
    the run changes, the schedule of a run of the new length applies.
    """

    def __init__(self) -> None:
        self.world_size = 0
        self.steps_per_epoch = 0
        self.max_epochs: int | None = 0

    def state_dict(self) -> dict[str, Any]:
        """The world size, steps and length of the training so far."""
        return {
            "world_size": self.world_size,
            "steps_per_epoch": self.steps_per_epoch,
            "max_epochs": self.max_epochs,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the world size, steps and length of the earlier training."""
        self.world_size = state_dict["world_size"]
        self.steps_per_epoch = state_dict["steps_per_epoch"]
        self.max_epochs = state_dict.get("max_epochs", 0)  # missing in older checkpoints

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare with the previous start, and report differences.

        Raises:
            RuntimeError: The ranks resumed from different epochs.
        """
        check_same_epoch(trainer)
        steps = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        if self.world_size not in (0, trainer.world_size):
            rank_zero_info(
                f"the number of processes changes from {self.world_size} to {trainer.world_size}: "
                "data.batch_size is per process, so a step now uses "
                f"{trainer.world_size / self.world_size:g} times as many images"
            )
        if self.steps_per_epoch not in (0, steps):
            rank_zero_info(
                f"the number of steps per epoch changes from {self.steps_per_epoch} to {steps}: "
                "the learning rate continues from the same share of training"
            )
            for config in trainer.lr_scheduler_configs:
                if config.interval == "step" and isinstance(config.scheduler, LambdaLR):
                    move_schedule(config.scheduler, trainer.current_epoch * steps)
        if self.max_epochs not in (0, trainer.max_epochs):
            rank_zero_info(
                f"the length of the run changes from {self.max_epochs} to {trainer.max_epochs} "
                "epochs: the learning rate now follows a run of the new length, which may be "
                "higher than before"
            )
        self.world_size, self.steps_per_epoch = trainer.world_size, steps
        self.max_epochs = trainer.max_epochs


def move_schedule(scheduler: LambdaLR, step: int) -> None:
    """Move a schedule to its state after ``step`` steps."""
    scheduler.last_epoch = step - 1
    scheduler.step()


def check_same_epoch(trainer: L.Trainer) -> None:
    """Check that all ranks start with the same epoch.

    Raises:
        RuntimeError: They do not. On network file systems, some nodes may see an older checkpoint
            for a while.
    """
    mine = torch.tensor([trainer.current_epoch], device=trainer.strategy.root_device)
    epochs = concat_over_ranks(mine, measuring_group(trainer)).tolist()
    if len(set(epochs)) > 1:
        raise RuntimeError(
            f"the ranks resumed from different checkpoints, after {epochs} epochs: their nodes do "
            "not see the same run directory yet; start the run again"
        )
