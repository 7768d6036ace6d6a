"""Weights of a user's, into a network of the same kind."""

from typing import Any

from torch import nn

from collapse_lit.errors import UserError
from collapse_lit.models.state import State, load_state


def fill(model: nn.Module, build: Any, state: State, source: str, name: str) -> nn.Module:
    """The model with the weights of ``state``, built anew for as many classes as those have.

    Args:
        model: the model with its usual number of classes.
        build: builds it for ``num_classes``.
        state: weights; names may have a prefix in common, such as ``module.``.
        source: what the weights are called in messages.
        name: what the model is called in messages.

    Raises:
        UserError: They are weights of another model.
    """
    wanted = model.state_dict()
    prefix = _prefix(wanted, state)
    state = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    head = f"{last_linear(model, name)}.weight"
    if head in state and len(state[head]) != len(wanted[head]):
        model = build(num_classes=len(state[head]))
    load_state(model, state, source, name)
    return model


def _prefix(wanted: State, state: State) -> str:
    """What stands before the names: ``model.`` where ``model.conv1.weight`` is ``conv1.weight``."""
    first = next(iter(wanted))
    ends = [key for key in state if key == first or key.endswith(f".{first}")]
    return ends[0].removesuffix(first) if ends else ""


def last_linear(model: nn.Module, name: str) -> str:
    """Path of the last ``nn.Linear``.

    Raises:
        UserError: There is none.
    """
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"--layer: {name} has no linear layer; name the one that classifies")
    return linear[-1]
