"""Learning-rate schedules as pure functions of training progress."""

import math
from collections.abc import Callable
from typing import Literal

ScheduleName = Literal["multistep", "onecycle", "cosine", "constant"]


def multistep(progress: float) -> float:
    """÷10 at one third and at two thirds of training (Papyan, Han, Donoho 2020)."""
    return 0.1 ** int(3 * progress)


def onecycle(progress: float, warmup: float = 0.2) -> float:
    """Linear from 0 to the peak over the first fifth, then linear down to 0."""
    return min(progress / warmup, (1 - progress) / (1 - warmup))


def cosine(progress: float) -> float:
    """Half a cosine from the peak to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """The peak all the time."""
    return 1.0


def schedule(name: ScheduleName, total_steps: int) -> Callable[[int], float]:
    """Factor on the learning rate before optimiser step ``step`` of ``total_steps``.

    The middle of the step counts as its progress, so no step of a cycle has a rate of 0.
    """
    factor = {"multistep": multistep, "onecycle": onecycle, "cosine": cosine, "constant": constant}[
        name
    ]
    return lambda step: factor(min((step + 0.5) / total_steps, 1.0))
