"""Whether a training ends here."""

import lightning as L

UNLIMITED = -1  # Lightning's word for no max_steps and no max_epochs


def is_last_epoch(trainer: L.Trainer) -> bool:
    """At the end of an epoch: whether no other one follows it."""
    return trainer.current_epoch + 1 == trainer.max_epochs or ends_now(trainer)


def ends_now(trainer: L.Trainer) -> bool:
    """Whether something other than ``max_epochs`` ends the training here."""
    return stops_early(trainer) or out_of_steps(trainer)


def stops_early(trainer: L.Trainer) -> bool:
    """Whether a callback has asked the training to stop, and it does."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def out_of_steps(trainer: L.Trainer) -> bool:
    """Whether ``max_steps`` is reached."""
    return trainer.max_steps != UNLIMITED and trainer.global_step >= trainer.max_steps
