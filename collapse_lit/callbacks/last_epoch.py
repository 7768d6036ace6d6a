"""Whether training ends with this epoch."""

import lightning as L

UNLIMITED = -1  # Lightning's value of max_steps and max_epochs for no limit


def is_last_epoch(trainer: L.Trainer) -> bool:
    """At the end of an epoch: whether it is the last."""
    return trainer.current_epoch + 1 == trainer.max_epochs or ends_now(trainer)


def ends_now(trainer: L.Trainer) -> bool:
    """Whether something other than ``max_epochs`` ends training with this epoch."""
    return stops_early(trainer) or out_of_steps(trainer)


def stops_early(trainer: L.Trainer) -> bool:
    """Whether training stops because a callback asked for it."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def out_of_steps(trainer: L.Trainer) -> bool:
    """Whether ``max_steps`` is reached."""
    return trainer.max_steps != UNLIMITED and trainer.global_step >= trainer.max_steps
