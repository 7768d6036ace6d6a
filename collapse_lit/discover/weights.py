"""Weights from a file of the user's, into a network of the same kind; no code is run."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError

State = Mapping[str, Tensor]


def read_state(path: Path) -> State:
    """The state dict in a file, or in the checkpoint that it is part of; runs no code.

    Raises:
        UserError: The file is missing, holds other objects than tensors, or has no state dict.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"--weights {path}: there is neither such a file nor such pretrained weights"
        ) from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"--weights {path}: it holds more than tensors, which could run code when loaded; "
            "save torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # torch raises many kinds for a broken file
        raise UserError(f"--weights {path}: it cannot be read ({error})") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = isinstance(loaded, Mapping) and all(isinstance(v, Tensor) for v in loaded.values())
    if not tensors or not loaded:
        raise UserError(f"--weights {path}: it holds no state dict; save model.state_dict()")
    return loaded


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
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        shown = " ".join(lines)
        raise UserError(
            f"{source}: these are no weights of {name}: {shown[:300]}{'…' * (len(shown) > 300)}"
        ) from error
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
