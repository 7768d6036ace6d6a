"""Learning-rate schedules as pure functions of training progress."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import lightning as L

ScheduleName = Literal["multistep", "onecycle", "cosine", "constant"]
THIRDS = (1 / 3, 2 / 3)  # Papyan, Han, Donoho 2020


def multistep(progress: float, milestones: Sequence[float]) -> float:
    """Divide by 10 at each milestone."""
    return 0.1 ** sum(progress >= milestone for milestone in milestones)


def onecycle(progress: float, warmup: float = 0.2) -> float:
    """Increase linearly from 0 to the peak over the first fifth, then decrease linearly to 0."""
    return min(progress / warmup, (1 - progress) / (1 - warmup))


def cosine(progress: float) -> float:
    """Decrease from the peak to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """Keep the peak."""
    return 1.0


def schedule(
    name: ScheduleName, total_steps: int, milestones: Sequence[float] = THIRDS
) -> Callable[[int], float]:
    """Factor of the learning rate at optimiser step ``step`` of ``total_steps``.

    Progress is taken in the middle of the step, so no step has a learning rate of 0.
    """
    factors: dict[ScheduleName, Callable[[float], float]] = {
        "multistep": partial(multistep, milestones=milestones),
        "onecycle": onecycle,
        "cosine": cosine,
        "constant": constant,
    }
    factor = factors[name]
    return lambda step: factor(min((step + 0.5) / total_steps, 1.0))


def steps_of_training(trainer: L.Trainer) -> int:
    """Number of optimiser steps of the schedule: the steps of all ``max_epochs``.

    ``max_steps`` ends training without changing the learning rate, so a larger limit continues the
    same training. Without ``max_epochs``, ``max_steps`` is the length of the schedule.
    """
    steps = trainer.estimated_stepping_batches  # this property also counts the batches of an epoch
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return int(steps)
    in_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return in_epoch * max(trainer.max_epochs, 1)
