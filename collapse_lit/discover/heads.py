"""The layer that classifies, what enters it, and what comes out of the network in the end."""

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError
from collapse_lit.reading.layers import find_layer

Pool = Literal["cls", "mean"]
POOLS: tuple[Pool, ...] = ("cls", "mean")
OUTPUT = "output"  # in place of a layer: the network's own output is the feature


def classifying_layer(model: nn.Module, name: str, convolution: bool = True) -> str:
    """Path of the last ``nn.Linear``; or of the last convolution where there is none.

    Args:
        model: the network.
        name: what it is called in messages.
        convolution: whether a convolution may be it, as in SqueezeNet.

    Raises:
        UserError: There is none.
    """
    kinds = (nn.Linear, nn.Conv2d) if convolution else (nn.Linear,)
    for kind in kinds:
        paths = [path for path, module in model.named_modules() if isinstance(module, kind)]
        if paths and paths[-1]:
            return paths[-1]
    raise UserError(
        f"--layer: {name} has no linear layer; name the one that classifies, or say --layer "
        f"{OUTPUT} where the network returns features"
    )


def prepared(model: nn.Module, layer: str, pool: Pool | None) -> tuple[nn.Module, str]:
    """The network and the path whose input is the feature.

    Args:
        model: the network; with ``pool``, a layer of it is wrapped.
        layer: path of the layer that classifies, or ``output``.
        pool: how tokens (n, t, c) that enter it become one row a sample: the first token, which is
            the class token of a vision transformer, or the mean of all.

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
    """A layer that takes tokens (n, t, c), and lets their pooled row (n, c) be read."""

    def __init__(self, layer: nn.Module, pool: Pool) -> None:
        super().__init__()
        self.layer, self.pool = layer, pool
        self.pooled = nn.Identity()

    def forward(self, tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What the layer itself gives.

        Raises:
            UserError: Its input is no tokens.
        """
        if tokens.ndim != 3:
            raise UserError(
                f"--pool {self.pool} is for tokens (samples, tokens, features); what enters this "
                f"layer has shape {tuple(tokens.shape)}"
            )
        self.pooled(tokens[:, 0] if self.pool == "cls" else tokens.mean(dim=1))
        return self.layer(tokens, *args, **kwargs)


class Logits:
    """Keeps what a network returns, batch by batch, where that is one row of logits a sample."""

    def __init__(self, model: nn.Module) -> None:
        self._rows: list[Tensor | None] = []
        self._handle = model.register_forward_hook(self._keep)

    def __enter__(self) -> Self:
        """Start to listen."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the network without hooks of ours."""
        self._handle.remove()

    def every(self, step: int = 1) -> Tensor | None:
        """(N, C) of every so manieth call; None where one was no logits."""
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
