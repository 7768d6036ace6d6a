"""The input or output of a layer as one row of features per sample."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from torch import Tensor, nn

from collapse_lit.errors import UserError

Side = Literal["into", "out of"]

# Layers with channels in the second axis of input and output: (n, c, *positions).
CHANNELS_FIRST = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm),
)
# Layers with features in the last axis: (n, *positions, c).
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm)


def rows_of(activation: Any, module: nn.Module, path: str, side: Side, samples: int) -> Tensor:
    """One row of features per sample, from the input or output of a layer.

    Convolutional maps (n, c, h, w) and tokens (n, t, c) are averaged over their positions. The
    layer itself shows which axis holds the channels; a layer that does not show it is refused.

    Args:
        activation: The input or output of the layer.
        module: The layer.
        path: Path of the layer, for messages.
        side: "into" if ``activation`` is the layer's input, "out of" if it is its output.
        samples: n, the number of samples in the batch.

    Returns:
        (n, d) float32.

    Raises:
        UserError: The activation does not have one row per sample, or the channel axis is unknown.
    """
    if (
        isinstance(activation, (tuple, list)) and activation
    ):  # (output, attention), as in Hugging Face
        activation = activation[0]
    where = f"layer {path!r}: its input" if side == "into" else f"layer {path!r}: its output"
    if not isinstance(activation, Tensor) or not activation.is_floating_point():
        kind = activation.dtype if isinstance(activation, Tensor) else type(activation).__name__
        raise UserError(f"{where} is {kind}, not a tensor of floating-point features")
    shape = tuple(activation.shape)
    if len(shape) < 2 or shape[0] != samples:
        raise UserError(
            f"{where} has shape {shape} for {samples} samples; it must have one row per sample"
        )
    rows = activation.detach().float()
    if prod(shape[2:]) == 1:
        return rows.flatten(1).clone()  # the network may change it in place
    if side == "into" and isinstance(module, nn.Linear):
        raise UserError(
            f"{where} has shape {shape}, with many positions per sample; choose a layer after the "
            "pooling, or pool before this layer"
        )
    if side == "into" and _flattens(module, shape):
        return rows.flatten(1).clone()
    axis = _channel_axis(module, shape, side)
    if axis is None:
        raise UserError(
            f"{where} has shape {shape}, and the channel axis is unknown; choose a convolution, "
            "normalisation or linear layer beside it"
        )
    return rows.mean([other for other in range(1, len(shape)) if other != axis])


@dataclass(frozen=True)
class LastLayer:
    """The layer that maps features to logits, as it was when the features were read.

    Attributes:
        weight: (C, d) float32 of a linear layer; None for any other.
        bias: (C,) float32 of a linear layer, or None.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None

    @staticmethod
    def of(module: nn.Module) -> "LastLayer":
        """A copy of a layer's weights, to be read in eval mode because a parametrisation may update
        itself.

        A layer is linear if its output is W h + b. Dropout before it does nothing in eval mode. A
        subclass with its own forward pass does not count as linear.
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
        """C, or None if the layer is not linear."""
        return None if self.weight is None else len(self.weight)


def _flattens(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a layer first flattens all positions into one vector, as in LeNet and VGG."""
    first = next(_telling(module), None)
    return isinstance(first, nn.Linear) and first.in_features == prod(shape[1:])


def _channel_axis(module: nn.Module, shape: tuple[int, ...], side: Side) -> int | None:
    """The channel axis, whose width equals that of the layer nearest to this activation.

    If several axes have this width, the type of layer decides.
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
    """The inner layers with a known number of channels, in order of registration."""
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
