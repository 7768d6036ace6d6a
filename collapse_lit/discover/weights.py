"""Weights of a user's, into a network of the same kind."""

from collections.abc import Callable

from torch import nn

from collapse_lit.discover.heads import classifying_layer
from collapse_lit.errors import UserError
from collapse_lit.models.state import State, load_state

HEAD = "head"  # of a classifier that `fit` trained on features of the network


def fill(
    model: nn.Module, build: Callable[..., nn.Module], state: State, source: str, name: str
) -> nn.Module:
    """The model with the weights of ``state``, built anew for as many classes as those have.

    Args:
        model: the model with its usual number of classes.
        build: builds it for ``num_classes``.
        state: weights; names may have a prefix in common, such as ``module.``. Those of a network
            that ``fit`` trained come with its head, which is put on top.
        source: what the weights are called in messages.
        name: what the model is called in messages.

    Raises:
        UserError: They are weights of another model.
    """
    wanted = model.state_dict()
    prefix = _prefix(wanted, state)
    own = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    trained_by_fit = prefix == "backbone." and f"{HEAD}.weight" in state
    classes = None if trained_by_fit else _classes(model, wanted, own)
    if classes is not None:
        try:
            model = build(num_classes=classes)
        except TypeError as error:
            raise UserError(
                f"{source}: they are of {classes} classes, and {name} takes no num_classes; say "
                "how it is built with --model_args"
            ) from error
    load_state(model, own, source, name)
    if not trained_by_fit:
        return model
    outputs, inputs = state[f"{HEAD}.weight"].shape
    head = nn.Linear(inputs, outputs)
    load_state(head, {key: state[f"{HEAD}.{key}"] for key in ("weight", "bias")}, source, HEAD)
    whole = nn.Sequential(model)
    whole.add_module(HEAD, head)
    return whole


def _classes(model: nn.Module, wanted: State, state: State) -> int | None:
    """The number of classes of the weights, where it is not the model's."""
    try:
        head = f"{classifying_layer(model, '')}.weight"
    except UserError:  # it returns features
        return None
    if head not in state or len(state[head]) == len(wanted[head]):
        return None
    return len(state[head])


def _prefix(wanted: State, state: State) -> str:
    """What stands before the names: ``model.`` where ``model.conv1.weight`` is ``conv1.weight``."""
    first = next(iter(wanted), "")
    ends = [key for key in state if key == first or key.endswith(f".{first}")]
    return ends[0].removesuffix(first) if ends else ""
