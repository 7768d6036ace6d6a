"""Keep the random numbers of training unchanged by a pass over the data."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng

# Attributes in which loaders, samplers and data sets keep parts that may draw.
PARTS = (
    *("dataset", "datasets", "data_source", "sampler", "batch_sampler", "_sampler"),
    *("transform", "transforms", "target_transform"),
)
DEEPEST = 6


@contextmanager
def kept_randomness(*owners: Any) -> Iterator[None]:
    """Restore the global random states, and those of generators that the owners hold.

    Args:
        owners: Loaders, which are searched for samplers, data sets and transforms.
    """
    restores = [restore for owner in owners for restore in _restores(owner, DEEPEST, set())]
    with isolate_rng():
        try:
            yield
        finally:
            for restore in restores:
                restore()


def _restores(owner: Any, depth: int, seen: set[int]) -> Iterator[Callable[[], Any]]:
    """A function that restores the state, for each generator in an object or its parts."""
    if depth == 0 or id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, (list, tuple)):
        for one in owner[:DEEPEST]:
            yield from _restores(one, depth - 1, seen)
        return
    for name, value in getattr(owner, "__dict__", {}).items():
        restore = _restore(value)
        if restore is not None:
            yield restore
        elif name in PARTS:
            yield from _restores(value, depth - 1, seen)


def _restore(generator: Any) -> Callable[[], Any] | None:
    """A function that restores the state of a generator; None for other objects."""
    if isinstance(generator, torch.Generator):
        state = generator.get_state()
        return lambda: generator.set_state(state)
    if isinstance(generator, random.Random):
        kept = generator.getstate()
        return lambda: generator.setstate(kept)
    if isinstance(generator, np.random.RandomState):
        before = generator.get_state()
        return lambda: generator.set_state(before)
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator.state
        return lambda: setattr(generator.bit_generator, "state", bits)
    return None
