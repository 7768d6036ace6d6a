"""The classifying layer, its input, and the output of the network."""

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError
from collapse_lit.reading.layers import find_layer

Pool = Literal["cls", "mean"]
POOLS: tuple[Pool, ...] = ("cls", "mean")
OUTPUT = "output"  # instead of a layer: the network's output is the feature


def classifying_layer(model: nn.Module, name: str, convolution: bool = True) -> str:
    """Path of the last ``nn.Linear``, or of the last convolution without one.

    Args:
        model: the network.
        name: name of the network in messages.
        convolution: whether a convolution may be the classifying layer, as in SqueezeNet.

    Raises:
        UserError: There is no such layer.
    """
    kinds = (nn.Linear, nn.Conv2d) if convolution else (nn.Linear,)
    for kind in kinds:
        paths = [path for path, module in model.named_modules() if isinstance(module, kind)]
        if paths and paths[-1]:
            return paths[-1]
    raise UserError(
        f"--layer: {name} has no linear layer; give the path of the classifying layer, or --layer "
        f"{OUTPUT} if the network returns features"
    )


def prepared(model: nn.Module, layer: str, pool: Pool | None) -> tuple[nn.Module, str]:
    """The network and the path of the layer whose input is the feature.

    Args:
        model: the network; with ``pool``, one of its layers is wrapped.
        layer: path of the classifying layer, or ``output``.
        pool: how tokens (n, t, c) become one row per sample: ``cls`` for the first token (the class
            token of a vision transformer) or ``mean`` for the mean of all.

    Raises:
        UserError: There is no such layer.
    """
    if layer == OUTPUT:
        model, layer = nn.Sequential(model, nn.Identity()), "1"
    if pool is None:
        return model, layer
    model.set_submodule(layer, Pooled(find_layer(model, layer), pool))
    return model, f"{layer}.pooled"


class Pooled(nn.Module):
    """Wraps a layer with token input (n, t, c), and exposes the pooled row (n, c)."""

    def __init__(self, layer: nn.Module, pool: Pool) -> None:
        super().__init__()
        self.layer, self.pool = layer, pool
        self.pooled = nn.Identity()

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The output of the wrapped layer.

        Raises:
            UserError: The input is not tokens.
        """
        if tokens.ndim != 3:
            raise UserError(
                f"--pool {self.pool} needs tokens (samples, tokens, features), but the input of "
                f"this layer has shape {tuple(tokens.shape)}"
            )
        self.pooled(tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1))
        return self.layer(tokens, *args, **kwargs)


class Logits:
    """Records the logits of a network batch by batch, if it returns one row per sample."""

    def __init__(self, model: nn.Module) -> None:
        self._rows: list[Tensor | None] = []
        self._handle = model.register_forward_hook(self._keep)

    def __enter__(self) -> Self:
        """Register the hook."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the hook."""
        self._handle.remove()

    def every(self, step: int = 1) -> Tensor | None:
        """(N, C) logits of every ``step``-th call; None if a call returned no logits."""
        rows = [row for row in self._rows[::step] if row is not None]
        whole = (
            rows and len(rows) == len(self._rows[::step]) and len({r.shape[1] for r in rows}) == 1
        )
        return torch.cat(rows) if whole else None

    def _keep(self, module: nn.Module, args: Any, output: Any) -> None:
        output = getattr(output, "logits", output)  # Hugging Face
        if isinstance(output, (tuple, list)) and output:
            output = output[0]
        logits = isinstance(output, Tensor) and output.is_floating_point() and output.ndim >= 2
        if logits and output.ndim > 2 and output.shape[2:].numel() != 1:
            logits = False
        self._rows.append(output.detach().float().flatten(1).cpu() if logits else None)
