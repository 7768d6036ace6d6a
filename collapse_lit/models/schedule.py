"""Learning-rate schedules as pure functions of training progress."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import lightning as L

ScheduleName = Literal["multistep", "onecycle", "cosine", "constant"]
THIRDS = (1 / 3, 2 / 3)  # Papyan, Han, Donoho 2020


def multistep(progress: float, milestones: Sequence[float]) -> float:
    """÷10 at each of some shares of training."""
    return 0.1 ** sum(progress >= milestone for milestone in milestones)


def onecycle(progress: float, warmup: float = 0.2) -> float:
    """Linear from 0 to the peak over the first fifth, then linear down to 0."""
    return min(progress / warmup, (1 - progress) / (1 - warmup))


def cosine(progress: float) -> float:
    """Half a cosine from the peak to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """The peak all the time."""
    return 1.0


def schedule(
    name: ScheduleName, total_steps: int, milestones: Sequence[float] = THIRDS
) -> Callable[[int], float]:
    """Factor on the learning rate before optimiser step ``step`` of ``total_steps``.

    The middle of the step counts as its progress, so no step of a cycle has a rate of 0.
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
    """Optimiser steps that the schedule is made for: those of all ``max_epochs``.

    ``max_steps`` ends a training there and leaves its learning rate as it is, so that a start with
    a larger limit goes on with the same training. Without ``max_epochs`` it is the length.
    """
    steps = trainer.estimated_stepping_batches  # also counts the batches of an epoch
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return int(steps)
    in_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return in_epoch * max(trainer.max_epochs, 1)
