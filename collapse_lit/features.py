"""Features of a network: the input of its last layer, for every sample of a data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collapse_lit.errors import UserError
from collapse_lit.measure.full_float32 import full_float32
from collapse_lit.reading.activations import LastLayer
from collapse_lit.reading.batches import Batch, take_apart
from collapse_lit.reading.layers import Captured, Recorder, find_layer

HALF = (torch.float16, torch.bfloat16)

__all__ = ["Features", "View", "extract_features", "find_layer", "further_views", "in_eval_mode"]


@dataclass(frozen=True)
class View:
    """A transformed view of an image.

    Attributes:
        mirrored: Whether the image is flipped left to right.
        shift: Pixels (-1, 0 or 1) by which the image then moves down and to the right. The border
            is repeated to fill the gap.
    """

    mirrored: bool = False
    shift: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Transform a batch of images (B, C, H, W)."""
        seen = images.flip(-1) if self.mirrored else images
        if not self.shift:
            return seen
        padded = F.pad(seen, (1, 1, 1, 1), mode="replicate")
        start = 1 - self.shift
        rows, columns = (slice(start, start + size) for size in images.shape[2:])
        return padded[..., rows, columns]


def further_views(mirror: bool, shift: bool) -> dict[str, tuple[View, ...]]:
    """Views averaged with each image, by split: its mirror image, and both shifted by one pixel.

    Training images are never shifted. With ``mirror`` and ``shift``, a test image has five further
    views, the test-time augmentation of Jordan (arXiv 2404.00498).
    """
    sides, shifts = (False, True)[: 1 + mirror], (0, -1, 1)[: 1 + 2 * shift]
    views = tuple(View(side, pixels) for pixels in shifts for side in sides)
    return {"train": views[1 : len(sides)], "test": views[1:]}


@dataclass(frozen=True)
class Features:
    """Features and labels of one split from one clean pass of this process. Row i is one sample.

    Attributes:
        features: Input of the last layer, (n, d) float32.
        coarse: Labels used for training, (n,) int64.
        fine: Hidden labels, (n,) int64, or None if unknown.
        index: Position of each sample in the data set, (n,) int64.
        layers: Output of further layers by path, each (n, d_layer) float32, averaged over
            positions. In order of depth: the layer that the network completes first comes first.
        further: Input of the last layer for further views of the samples, each (n, d) float32.
        decided: Class that the network predicts, (n,) int64. None if the last layer's output is not
            one logit per class.
        last: The layer whose input the features are.
    """

    features: Tensor
    coarse: Tensor
    fine: Tensor | None
    index: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict)
    further: Mapping[View, Tensor] = field(default_factory=dict)
    decided: Tensor | None = None
    last: LastLayer = field(default_factory=LastLayer)

    def averaged(self, views: Sequence[View]) -> "Features":
        """A copy whose features are the mean over each image and its ``views``."""
        if not views:
            return self
        total = sum((self.further[view] for view in views), start=self.features)
        return replace(self, features=total / (1 + len(views)), further={})

    def stacked(self, views: Sequence[View]) -> Tensor:
        """((1 + v)·n, d) features: all images first, then each of the v ``views`` in turn."""
        return torch.cat([self.features, *(self.further[view] for view in views)])


@full_float32()
@torch.no_grad()
def extract_features(
    model: nn.Module,
    batches: Iterable[Sequence[Tensor] | Batch],
    layer: str,
    *,
    also: Sequence[str] = (),
    views: Sequence[View] = (),
    device: torch.device | str = "cpu",
) -> Features:
    """Run ``model`` over ``batches`` and keep the input of ``layer``.

    The model runs in eval mode, uncompiled, without gradients and without autocast. Half-precision
    weights are converted to float32 for the pass, because rounding would limit how small every
    measure of collapse can get. The model's mode is restored afterwards.

    Args:
        model: Any module. It is called with the inputs of each batch.
        batches: ``(inputs, coarse)``, ``(inputs, coarse, fine)``,
            ``(inputs, coarse, fine, index)``, or a :class:`Batch`. Without an index, samples are
            numbered in order. Samples with a negative coarse label are skipped.
        layer: Path of the module whose input is the feature, such as ``"head"`` or ``"model.fc"``.
        also: Paths of further modules whose output is kept. Maps (n, c, h, w) and tokens (n, t, c)
            are averaged to (n, c).
        views: Views of the images that the model also runs on.
        device: Device of the inputs and of the features.

    Returns:
        The features of all samples in the order of ``batches``.

    Raises:
        UserError: The layer does not exist, or the model does not call it exactly once. Or its
            input is not one row per sample, there are no batches, or ``views`` are requested for
            inputs that are not images.
    """
    places = ((layer, "into"), *((path, "out of") for path in also))
    rows: dict[Any, list[Tensor]] = {key: [] for key in (*places, *views)}
    labels: list[tuple[Tensor | None, ...]] = []
    with in_eval_mode(model), Recorder(model, layer, also) as recorder:
        last = LastLayer.of(find_layer(model, layer))
        for raw in batches:
            batch = raw if isinstance(raw, Batch) else take_apart(raw, indexed=True)
            batch = _on(batch, device)
            kept = batch.coarse >= 0
            captured = _run(model, batch, recorder)
            for place in places:
                rows[place].append(captured.rows[place][kept])
            for view in views:
                rows[view].append(
                    _run(model, _seen(batch, view), recorder).rows[layer, "into"][kept]
                )
            parts = (batch.coarse, batch.fine, batch.index, captured.decided)
            labels.append(tuple(None if part is None else part[kept] for part in parts))
    if not labels:
        raise UserError("the data loader gave no batches; measuring needs at least one")
    coarse, fine, index, decided = (_joined(column) for column in zip(*labels, strict=True))
    assert coarse is not None
    return Features(
        features=torch.cat(rows[layer, "into"]),
        coarse=coarse,
        fine=fine,
        index=torch.arange(len(coarse), device=coarse.device) if index is None else index,
        layers={path: torch.cat(rows[path, "out of"]) for path in captured.outputs},
        further={view: torch.cat(rows[view]) for view in views},
        decided=decided,
        last=last,
    )


def _run(model: nn.Module, batch: Batch, recorder: Recorder) -> Captured:
    recorder.expect(len(batch))
    _forward(model, *batch.args, **batch.kwargs)
    return recorder.captured()


def _forward(model: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Call the network in its own precision, or in float32 if its weights have half precision."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    dtype = next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.float32)
    dtype = torch.float32 if dtype in HALF else dtype
    args = tuple(_in_precision(item, dtype) for item in args)
    kwargs = {name: _in_precision(item, dtype) for name, item in kwargs.items()}
    upcast = {name: tensor.float() for name, tensor in tensors.items() if tensor.dtype in HALF}
    device = next((t.device.type for t in tensors.values()), "cpu")
    with torch.no_grad(), torch.autocast(device, enabled=False):
        if upcast:
            torch.func.functional_call(model, upcast, args, kwargs)
        else:
            model(*args, **kwargs)


def _in_precision(item: Any, dtype: torch.dtype) -> Any:
    """Cast floating-point inputs to the precision of the weights; leave the rest unchanged."""
    return item.to(dtype) if isinstance(item, Tensor) and item.is_floating_point() else item


def _on(batch: Batch, device: torch.device | str) -> Batch:
    def move(item: Any) -> Any:
        return item.to(device, non_blocking=True) if isinstance(item, Tensor) else item

    return Batch(
        tuple(move(item) for item in batch.args),
        move(batch.coarse),
        move(batch.fine),
        move(batch.index),
        {name: move(item) for name, item in batch.kwargs.items()},
    )


def _seen(batch: Batch, view: View) -> Batch:
    """The batch with its images replaced by one view of them."""
    images = batch.args[0] if len(batch.args) == 1 and not batch.kwargs else None
    if not isinstance(images, Tensor) or images.ndim != 4:
        raise UserError(
            "recovery.mirror and recovery.shift need images, and these inputs are not; leave both "
            "out"
        )
    return replace(batch, args=(view(images),))


def _joined(column: Sequence[Tensor | None]) -> Tensor | None:
    """Concatenate the labels of all batches; None if a batch has none."""
    found = [part for part in column if part is not None]
    return torch.cat(found) if len(found) == len(column) else None


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a network into eval mode, uncompiled: compiled code skips the hooks of layers."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(modes[0][1])  # some layers do more in train() than set the mode
        for module, training in modes:
            module.training = training
