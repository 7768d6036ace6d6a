"""Features of a network: what goes into its last layer, for every sample of a data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collapse_lit.errors import UserError


@dataclass(frozen=True)
class View:
    """An image otherwise than it is.

    Attributes:
        mirrored: left to right.
        shift: by how many pixels, at most one, it is moved down and to the right after that. What
            comes into view repeats the border.
    """

    mirrored: bool = False
    shift: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) images, all seen so."""
        seen = images.flip(-1) if self.mirrored else images
        if not self.shift:
            return seen
        padded = F.pad(seen, (1, 1, 1, 1), mode="replicate")
        start = 1 - self.shift
        rows, columns = (slice(start, start + size) for size in images.shape[2:])
        return padded[..., rows, columns]


def further_views(mirror: bool, shift: bool) -> dict[str, tuple[View, ...]]:
    """What to look at beside an image: by split, its mirror image and both of them a pixel aside.

    Training images are never shifted. Those of a test image are the ones of the speed runs on
    CIFAR-10 (Jordan, arXiv 2404.00498), there called test-time augmentation: five with both.
    """
    sides, shifts = (False, True)[: 1 + mirror], (0, -1, 1)[: 1 + 2 * shift]
    views = tuple(View(side, pixels) for pixels in shifts for side in sides)
    return {"train": views[1 : len(sides)], "test": views[1:]}


@dataclass(frozen=True)
class Features:
    """One clean pass over one split, as far as this process saw it; row i is one sample.

    Attributes:
        features: Input of the last layer, (n, d) float32.
        coarse: Labels that the network was trained on, (n,) int64.
        fine: Hidden labels, (n,) int64, or None where there are none.
        index: Position of each sample in the data set, (n,) int64.
        layers: Output of further layers by path, each (n, d_layer) float32, spatial maps averaged.
        further: Input of the last layer for further views of the samples, each (n, d) float32.
    """

    features: Tensor
    coarse: Tensor
    fine: Tensor | None
    index: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict)
    further: Mapping[View, Tensor] = field(default_factory=dict)

    def averaged(self, views: Sequence[View]) -> "Features":
        """The same with the mean of the features of each image and of its ``views``."""
        if not views:
            return self
        total = sum((self.further[view] for view in views), start=self.features)
        return replace(self, features=total / (1 + len(views)), further={})

    def stacked(self, views: Sequence[View]) -> Tensor:
        """((1 + v)·n, d): the features of all images, then those of each of their v ``views``."""
        return torch.cat([self.features, *(self.further[view] for view in views)])


def extract_features(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor]],
    layer: str,
    *,
    also: Sequence[str] = (),
    views: Sequence[View] = (),
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
        views: Further views of the images to run the model over.
        device: Where inputs are sent and the features stay.

    Returns:
        The features of all samples in the order of ``batches``.

    Raises:
        UserError: There is no such layer, the model never calls it, there are no batches, or
            ``views`` are asked for of inputs that are no images.
    """
    captured: dict[str, Tensor] = {}
    kept: dict[str, list[Tensor]] = {path: [] for path in (layer, *also)}
    further: dict[View, list[Tensor]] = {view: [] for view in views}
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
            if views and inputs.ndim != 4:
                raise UserError("recovery.mirror and recovery.shift are for images; leave them out")
            for view, rows in further.items():
                _forward(model, view(inputs))
                rows.append(captured[layer])
            labels.append([label.to(device) for label in batch[1:]])
    if not labels:
        raise UserError("a clean pass needs at least one batch, and its loader gave none")
    coarse, fine, index = _join_labels(labels)
    joined = {path: torch.cat(rows) for path, rows in kept.items()}
    features = joined.pop(layer)
    seen = {view: torch.cat(rows) for view, rows in further.items()}
    return Features(features, coarse, fine, index, joined, seen)


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
