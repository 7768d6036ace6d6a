"""Weights from a file, into the network that they are of; no code is run."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError

State = Mapping[str, Tensor]


def read_state(path: Path, option: str) -> State:
    """The state dict in a file, or in the checkpoint that it is part of; runs no code.

    Args:
        path: The file.
        option: What the file was given by, for messages, such as ``--weights``.

    Raises:
        UserError: The file is missing, holds other objects than tensors, or has no state dict.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{option} {path}: there is no such file") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{option} {path}: it holds more than tensors, which could run code when loaded; "
            "save torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # torch raises many kinds for a broken file
        raise UserError(f"{option} {path}: it cannot be read ({error})") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = isinstance(loaded, Mapping) and all(isinstance(v, Tensor) for v in loaded.values())
    if not tensors or not loaded:
        raise UserError(f"{option} {path}: it holds no state dict; save model.state_dict()")
    return loaded


def load_state(model: nn.Module, state: State, source: str, name: str) -> None:
    """Give ``model`` the weights of ``state``.

    Args:
        model: The network.
        state: All its weights, by their names there.
        source: What the weights are called in messages.
        name: What the network is called in messages.

    Raises:
        UserError: They are weights of another network.
    """
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        shown = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise UserError(
            f"{source}: these are no weights of {name}: {shown[:300]}{'…' * (len(shown) > 300)}"
        ) from error
