"""Features of a network: what goes into its last layer, for every sample of a data set."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError


@dataclass(frozen=True)
class Features:
    """One clean pass over one split, as far as this process saw it; row i is one sample.

    Attributes:
        features: Input of the last layer, (n, d) float32.
        coarse: Labels that the network was trained on, (n,) int64.
        fine: Hidden labels, (n,) int64, or None where there are none.
        index: Position of each sample in the data set, (n,) int64.
        layers: Output of further layers by path, each (n, d_layer) float32, spatial maps averaged.
        mirrored: Input of the last layer for the mirror images, (n, d) float32, where asked for.
    """

    features: Tensor
    coarse: Tensor
    fine: Tensor | None
    index: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict)
    mirrored: Tensor | None = None

    def averaged(self) -> "Features":
        """The same with the mean of each image's features and its mirror image's."""
        if self.mirrored is None:
            return self
        return replace(self, features=(self.features + self.mirrored) / 2, mirrored=None)

    def views(self) -> Tensor:
        """(v·n, d): the features of all images, then those of their mirror images, if asked for."""
        return self.features if self.mirrored is None else torch.cat([self.features, self.mirrored])


def extract_features(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    layer: str,
    *,
    also: Sequence[str] = (),
    mirror: bool = False,
    device: torch.device | str = "cpu",
) -> Features:
    """Run ``model`` over ``batches`` and keep what enters ``layer``.

    The model runs in eval mode, without gradients and without autocast, whatever the precision of
    training: half-precision features put a floor under every measure of collapse. Its mode is
    restored afterwards.

    Args:
        model: Any module; called with the first element of each batch.
        batches: ``(inputs, coarse)``, ``(inputs, coarse, fine)`` or
            ``(inputs, coarse, fine, index)``; without an index, samples are numbered in order.
        layer: Path of the module whose input is the feature, such as ``"head"`` or ``"model.fc"``.
        also: Paths of further modules whose output is kept; maps (n, c, h, w) and tokens (n, t, c)
            are averaged to (n, c).
        mirror: also run the model over the images mirrored left to right.
        device: Where inputs are sent and the features stay.

    Returns:
        The features of all samples in the order of ``batches``.

    Raises:
        UserError: There is no such layer, the model never calls it, there are no batches, or
            ``mirror`` is asked for inputs that are no images.
    """
    captured: dict[str, Tensor] = {}
    kept: dict[str, list[Tensor]] = {path: [] for path in (layer, *also)}
    mirrored: list[Tensor] = []
    labels: list[list[Tensor]] = []
    with _eval_mode(model), _capture(model, layer, also, captured):
        for batch in batches:
            captured.clear()
            inputs = batch[0].to(device, non_blocking=True)
            _forward(model, inputs)
            for path, rows in kept.items():
                if path not in captured:
                    raise UserError(f"layer {path!r} is never called in the model's forward pass")
                rows.append(captured[path])
            if mirror:
                if inputs.ndim != 4:
                    raise UserError("recovery.mirror: only images can be mirrored; leave it out")
                _forward(model, inputs.flip(-1))
                mirrored.append(captured[layer])
            labels.append([label.to(device) for label in batch[1:]])
    if not labels:
        raise UserError("a clean pass needs at least one batch, and its loader gave none")
    coarse, fine, index = _join_labels(labels)
    joined = {path: torch.cat(rows) for path, rows in kept.items()}
    features = joined.pop(layer)
    return Features(
        features, coarse, fine, index, joined, torch.cat(mirrored) if mirrored else None
    )


def _forward(model: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
        model(inputs)


def _join_labels(labels: list[list[Tensor]]) -> tuple[Tensor, Tensor | None, Tensor]:
    columns = [torch.cat(column) for column in zip(*labels, strict=True)]
    coarse = columns[0].long()
    fine = columns[1].long() if len(columns) > 1 else None
    index = columns[2] if len(columns) > 2 else torch.arange(len(coarse), device=coarse.device)
    return coarse, fine, index


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _capture(
    model: nn.Module, layer: str, also: Sequence[str], captured: dict[str, Tensor]
) -> Iterator[None]:
    """Keep the input of ``layer`` and the outputs of ``also`` as flat float32 rows."""
    handles = [
        find_layer(model, layer).register_forward_pre_hook(
            lambda module, inputs: captured.__setitem__(layer, _flat(inputs[0]))
        )
    ]
    for path in also:
        handles.append(
            find_layer(model, path).register_forward_hook(
                lambda module, inputs, output, path=path: captured.__setitem__(path, _flat(output))
            )
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The submodule at ``path``.

    Raises:
        UserError: There is none; the message lists the model's top-level and linear layers.
    """
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        names = [
            name
            for name, module in model.named_modules()
            if name and ("." not in name or isinstance(module, nn.Linear))
        ]
        raise UserError(f"the model has no layer {path!r}; it has {', '.join(names)}") from error


def _flat(output: Tensor) -> Tensor:
    """(n, d) float32 of an activation: maps (n, c, h, w) and tokens (n, t, c) are averaged."""
    rows = output.detach().float()
    if rows.ndim == 4:
        return rows.mean((2, 3))
    return rows.mean(1) if rows.ndim == 3 else rows
