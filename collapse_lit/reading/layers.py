"""Find the layers at which features are read, and record their inputs and outputs."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from collapse_lit.errors import UserError
from collapse_lit.reading.activations import rows_of


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The submodule at ``path``.

    Raises:
        UserError: The layer does not exist; the message lists the model's top-level and linear
            layers.
    """
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        names = [
            name
            for name, module in model.named_modules()
            if name and ("." not in name or isinstance(module, nn.Linear))
        ]
        raise UserError(
            f"the model has no layer {path!r}; its layers include {', '.join(names)}"
        ) from error


@dataclass
class Captured:
    """The recorded results of one forward pass.

    Attributes:
        rows: (n, d) float32 features by path of the layer and side, "into" or "out of".
        decided: (n,) int64, the predicted class from the last layer's output, or None.
    """

    rows: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    decided: Tensor | None = None

    @property
    def outputs(self) -> list[str]:
        """The layers whose output was recorded, in the order in which they were completed."""
        return [path for path, side in self.rows if side == "out of"]


class Recorder:
    """Records the input of one layer and the outputs of others while a network runs.

    Args:
        model: The network.
        layer: Path of the layer whose input is the feature.
        also: Paths of layers whose output is kept.
    """

    def __init__(self, model: nn.Module, layer: str, also: Sequence[str] = ()) -> None:
        self.model, self.layer, self.also = model, layer, tuple(also)
        self._handles: list[RemovableHandle] = []
        self._calls: dict[tuple[str, str], int] = {}
        self._captured, self._samples = Captured(), 0

    def __enter__(self) -> "Recorder":
        """Register the hooks.

        Raises:
            UserError: There is no such layer.
        """
        head = find_layer(self.model, self.layer)
        others = {path: find_layer(self.model, path) for path in self.also}
        self._handles = [
            head.register_forward_pre_hook(self._goes_in, with_kwargs=True),
            head.register_forward_hook(self._decides),
        ]
        for path, module in others.items():

            def comes_out(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
                self._keep(path, output, module, "out of")

            self._handles.append(module.register_forward_hook(comes_out))
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def expect(self, samples: int) -> None:
        """Prepare for a forward pass over ``samples`` samples."""
        self._captured, self._samples, self._calls = Captured(), samples, {}

    def captured(self) -> Captured:
        """The recorded results of the forward pass.

        Raises:
            UserError: A layer was not called exactly once, or it does not have one row of features
                per sample.
        """
        for path, side in ((self.layer, "into"), *((path, "out of") for path in self.also)):
            calls = self._calls.get((path, side), 0)
            if calls == 0:
                raise UserError(f"layer {path!r} is never called in the model's forward pass")
            if calls > 1:
                raise UserError(
                    f"layer {path!r} is called {calls} times in one forward pass, so its features "
                    "are ambiguous; choose a layer that is called once"
                )
        return self._captured

    def _goes_in(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._keep(self.layer, first_argument(module, args, kwargs), module, "into")

    def _decides(self, module: nn.Module, args: Any, output: Any) -> None:
        self._captured.decided = decisions(output, self._samples)

    def _keep(self, path: str, activation: Any, module: nn.Module, side: Any) -> None:
        self._calls[path, side] = self._calls.get((path, side), 0) + 1
        if self._calls[path, side] > 1:  # `captured` reports the number of calls
            return
        rows = rows_of(activation, module, path, side, self._samples)
        self._captured.rows[path, side] = rows


def first_argument(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first argument of a layer's call, by position or by name."""
    if args:
        return args[0]
    names = inspect.signature(module.forward).parameters
    named = [kwargs[name] for name in names if name in kwargs] or list(kwargs.values())
    return named[0] if named else None


def decisions(logits: Any, samples: int) -> Tensor | None:
    """(n,) int64, the predicted class from a classifier's output; None for other outputs.

    With one logit per sample, its sign decides between two classes.
    """
    if isinstance(logits, (tuple, list)) and logits:
        logits = logits[0]
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or logits.ndim < 2:
        return None
    if logits.shape[0] != samples or prod(logits.shape[2:]) != 1:
        return None
    logits = logits.detach().flatten(1)
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
