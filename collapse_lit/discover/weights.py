"""Load a user's weights into a network."""

from collections.abc import Callable

from torch import nn

from collapse_lit.discover.heads import classifying_layer
from collapse_lit.errors import UserError
from collapse_lit.models.state import State, load_state

HEAD = "head"  # name of the head that `fit` trains on the network's features


def fill(
    model: nn.Module, build: Callable[..., nn.Module], state: State, source: str, name: str
) -> nn.Module:
    """The model with the weights of ``state``, rebuilt for their number of classes.

    Args:
        model: the model with its usual number of classes.
        build: function that builds the model for ``num_classes``.
        state: weights; names may share a prefix, such as ``module.``. Weights of a network trained
            by ``fit`` include its head, which is added to the model.
        source: name of the weights in messages.
        name: name of the model in messages.

    Raises:
        UserError: The weights belong to another model.
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
                f"{source}: the weights have {classes} classes, but {name} takes no num_classes; "
                "set its size with --model_args"
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
    """The number of classes of the weights, if it differs from the model's."""
    try:
        head = f"{classifying_layer(model, '')}.weight"
    except UserError:  # the model returns features
        return None
    if head not in state or len(state[head]) == len(wanted[head]):
        return None
    return len(state[head])


def _prefix(wanted: State, state: State) -> str:
    """The prefix of names: ``model.`` if ``model.conv1.weight`` stands for ``conv1.weight``."""
    first = next(iter(wanted), "")
    ends = [key for key in state if key == first or key.endswith(f".{first}")]
    return ends[0].removesuffix(first) if ends else ""
