"""What goes into a layer, or comes out of it, as one row of features a sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from torch import Tensor, nn

from collapse_lit.errors import UserError

Side = Literal["into", "out of"]

# Layers whose channels are the second axis of what they take and give: (n, c, *positions).
CHANNELS_FIRST = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm),
)
# Layers whose features are the last axis: (n, *positions, c).
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm)


def rows_of(activation: Any, module: nn.Module, path: str, side: Side, samples: int) -> Tensor:
    """One row of features a sample, of what a layer takes or gives.

    A convolutional map (n, c, h, w) and tokens (n, t, c) are averaged over their positions. Which
    axis holds the channels is read off the layer itself; a layer that does not tell is refused.

    Args:
        activation: What went into the layer, or came out of it.
        module: The layer.
        path: Its path, for messages.
        side: Whether ``activation`` is what goes "into" the layer or comes "out of" it.
        samples: n, how many samples the network was given.

    Returns:
        (n, d) float32.

    Raises:
        UserError: There is not one row a sample, or no telling which axis is which.
    """
    if (
        isinstance(activation, (tuple, list)) and activation
    ):  # (output, attention), as in Hugging Face
        activation = activation[0]
    where = (
        f"layer {path!r}: what goes {side} it" if side == "into" else f"layer {path!r}: its output"
    )
    if not isinstance(activation, Tensor) or not activation.is_floating_point():
        kind = activation.dtype if isinstance(activation, Tensor) else type(activation).__name__
        raise UserError(f"{where} is {kind}, no tensor of floating-point features")
    shape = tuple(activation.shape)
    if len(shape) < 2 or shape[0] != samples:
        raise UserError(
            f"{where} has shape {shape} for {samples} samples; it must be one row a sample"
        )
    rows = activation.detach().float()
    if prod(shape[2:]) == 1:
        return rows.flatten(1).clone()  # the network may go on in place
    if side == "into" and isinstance(module, nn.Linear):
        raise UserError(
            f"{where} has shape {shape}, many positions a sample; name the layer after they are "
            "pooled, or pool them before this one"
        )
    if side == "into" and _flattens(module, shape):
        return rows.flatten(1).clone()
    axis = _channel_axis(module, shape, side)
    if axis is None:
        raise UserError(
            f"{where} has shape {shape}, and nothing tells which axis holds the channels; name a "
            "convolution, a normalisation or a linear layer beside it"
        )
    return rows.mean([other for other in range(1, len(shape)) if other != axis])


@dataclass(frozen=True)
class LastLayer:
    """The layer that makes logits of the features, as it was while they were taken.

    Attributes:
        weight: (C, d) float32 of a linear layer; None for any other.
        bias: (C,) float32 of a linear layer, or None.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None

    @staticmethod
    def of(module: nn.Module) -> "LastLayer":
        """A copy of a layer's weights. Reading them can change what normalises them: in eval mode.

        A linear layer is one whose output is W h + b: dropout before it does nothing in eval mode,
        and a subclass with a forward pass of its own is none.
        """
        module = getattr(module, "_orig_mod", module)  # inside torch.compile
        if isinstance(module, nn.Sequential):
            inside = [m for m in module if not isinstance(m, (nn.Dropout, nn.Identity))]
            return LastLayer.of(inside[0]) if len(inside) == 1 else LastLayer()
        if not isinstance(module, nn.Linear) or type(module).forward is not nn.Linear.forward:
            return LastLayer()
        weight, bias = module.weight.detach().float().clone(), module.bias
        return LastLayer(weight, None if bias is None else bias.detach().float().clone())

    @property
    def outputs(self) -> int | None:
        """C; None where the layer is not linear."""
        return None if self.weight is None else len(self.weight)


def _flattens(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a layer starts by making one vector of all positions, as in LeNet and VGG."""
    first = next(_telling(module), None)
    return isinstance(first, nn.Linear) and first.in_features == prod(shape[1:])


def _channel_axis(module: nn.Module, shape: tuple[int, ...], side: Side) -> int | None:
    """The axis of the channels: that which is as wide as the layer nearest to this activation.

    Width alone decides where one axis has it. Where several do, the kind of layer decides.
    """
    layers = list(_telling(module))
    if not layers:
        return 1 if _pools(module) and len(shape) > 2 else None
    nearest = layers[0] if side == "into" else layers[-1]
    width = _width(nearest, side)
    axes = [axis for axis in range(1, len(shape)) if shape[axis] == width]
    usual = 1 if isinstance(nearest, CHANNELS_FIRST) else len(shape) - 1
    if usual in axes:
        return usual
    return axes[0] if len(axes) == 1 else None


def _telling(module: nn.Module) -> Iterator[nn.Module]:
    """The layers inside, in order of registration, that know how many channels they have."""
    return (m for m in module.modules() if isinstance(m, (*CHANNELS_FIRST, *CHANNELS_LAST)))


def _pools(module: nn.Module) -> bool:
    names = [type(m).__name__ for m in module.modules() if not list(m.children())]
    return bool(names) and any("Pool" in name for name in names)


def _width(layer: nn.Module, side: Side) -> int:
    for name in (
        ("in_channels", "in_features") if side == "into" else ("out_channels", "out_features")
    ):
        if hasattr(layer, name):
            return int(getattr(layer, name))
    for name in ("num_features", "num_channels"):
        if hasattr(layer, name):
            return int(getattr(layer, name))
    shape: Any = layer.normalized_shape
    return int(shape[-1])
