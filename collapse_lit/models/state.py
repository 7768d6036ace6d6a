"""Load weights from a file into a network, without running code."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError

State = Mapping[str, Tensor]


def read_state(path: Path, option: str) -> State:
    """Read the state dict in a file or checkpoint, without running code.

    Args:
        path: The file.
        option: The option that named the file, such as ``--weights``, for messages.

    Raises:
        UserError: The file is missing, contains objects other than tensors, or has no state dict.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{option} {path}: the file does not exist") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{option} {path}: it contains objects other than tensors, which could run code when "
            "loaded; save with torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # torch raises many error types for a broken file
        raise UserError(f"{option} {path}: it cannot be read ({error})") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = isinstance(loaded, Mapping) and all(isinstance(v, Tensor) for v in loaded.values())
    if not tensors or not loaded:
        raise UserError(f"{option} {path}: it contains no state dict; save model.state_dict()")
    return loaded


def load_state(model: nn.Module, state: State, source: str, name: str) -> None:
    """Give ``model`` the weights of ``state``.

    Args:
        model: The network.
        state: All weights of the network by name.
        source: Name of the weights in messages.
        name: Name of the network in messages.

    Raises:
        UserError: The weights belong to another network.
    """
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        shown = " ".join(line.strip() for line in str(error).splitlines()[1:])
        raise UserError(
            f"{source}: these weights do not fit {name}: {shown[:300]}{'…' * (len(shown) > 300)}"
        ) from error
