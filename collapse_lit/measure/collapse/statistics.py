"""Class statistics of features in float64 and two passes: means, then residuals around them.

A one-pass Σhhᵀ − n mu muᵀ loses all digits near collapse; centred residuals lose none. Ranks
exchange only sums: first counts and sums, then sums over centred residuals. Errors depend on
reduced numbers only, so either all ranks raise or none does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from collapse_lit.measure.distributed import Group, max_over_ranks, rank_and_size, sum_over_ranks

# Rows are converted to float64 in blocks of about this many numbers, so that the features are never
# copied as a whole. A block fits a CPU's cache and is large enough to hide the cost of calls.
CPU_BLOCK = 2**19  # for each thread, of up to 8
GPU_BLOCK = 2**24

# A block's labels (n,) and projected residuals (p, n) → float64 sums over its samples.
Sum = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ClassMeans:
    """Number of samples and mean of each of K classes, the same on every rank, on the CPU.

    Attributes:
        counts: (K,) int64.
        means: (K, d) float64; zero for a class without samples.
    """

    counts: Tensor
    means: Tensor

    @property
    def shares(self) -> Tensor:
        """(K,) float64, n_k / N."""
        return self.counts.double() / self.counts.sum()

    def require_samples(self, what: str = "class") -> None:
        """Raise a ValueError that names the classes without samples."""
        empty = (self.counts == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(f"no samples of {what} {', '.join(map(str, empty))}")


@dataclass(frozen=True)
class WithinClass:
    """Sums over the residuals e = h − mu of all samples, the same on every rank.

    Attributes:
        variances: (K,) float64, v_k = mean of ‖e‖² over class k; nan without samples. On the CPU.
        sums: The caller's sums by name, float64. On the CPU.
        scatter: (d, d) float64, Sw = (1/N) Σ eeᵀ, or (0, 0) if not requested. On the features'
            device.
    """

    variances: Tensor
    sums: Mapping[str, Tensor]
    scatter: Tensor


def count_classes(labels: Tensor, group: Group) -> int:
    """The largest label of all ranks plus one; invalid labels count as 0."""
    fits = labels.numel() > 0 and not labels.is_floating_point()
    largest = torch.tensor([int(labels.max()) if fits else -1], device=labels.device)
    return int(max_over_ranks(largest, group)) + 1


def class_means(features: Tensor, labels: Tensor, num_classes: int, group: Group) -> ClassMeans:
    """First pass: the number of samples of each class, and their mean.

    Args:
        features: (n_local, d) floating point, this rank's shard.
        labels: (n_local,) integers in 0..num_classes-1.
        num_classes: K.
        group: process group whose ranks hold the samples; ``None`` for a single process.

    Raises:
        ValueError: On all ranks: shapes or dtypes do not fit, labels are out of range, or features
            hold NaN or Inf. The message names the classes.
    """
    features, labels = _ready(features, labels)
    _check_shards(features, labels, num_classes, group)
    d = features.shape[1]
    sums = features.new_zeros(num_classes, d, dtype=torch.float64)
    for h, y in _blocks(features, labels):
        sums.index_add_(0, y, h)
    counts = torch.bincount(labels, minlength=num_classes)  # (K,)
    both = sum_over_ranks(torch.cat([sums, counts[:, None].double()], dim=1), group).cpu()
    sums, counts = both[:, :d], both[:, d].long()
    if not sums.isfinite().all():
        _raise_not_finite(features, labels, counts, group)
    return ClassMeans(counts, sums / counts.clamp(min=1)[:, None])


def within_class(
    features: Tensor,
    labels: Tensor,
    classes: ClassMeans,
    group: Group,
    *,
    directions: Tensor | None = None,
    sums: Mapping[str, Sum] | None = None,
    scatter: bool = False,
) -> WithinClass:
    """Second pass: sums over the residuals e = h − mu of each sample.

    Args:
        features: (n_local, d), as for :func:`class_means`.
        labels: (n_local,).
        classes: the result of :func:`class_means` for the same samples.
        group: the same process group.
        directions: (p, d) float64 directions on which residuals are projected for the sums.
        sums: Functions of a block's labels (n,) and projected residuals (p, n). Each returns
            float64 sums over the block's samples, of any shape.
        scatter: Whether to compute the d×d within-class scatter, at the cost of one more GEMM.
    """
    features, labels = _ready(features, labels)
    means = classes.means.to(features.device)
    squares = means.new_zeros(len(means))
    size = features.shape[1] if scatter else 0
    product = means.new_zeros(size, size)
    wanted: Mapping[str, Sum] = sums or {}
    if directions is None:
        directions = means.new_zeros(0, features.shape[1])
    p = len(directions)
    # MKL's narrow float64 GEMM is a fifth faster if p is a multiple of 8.
    directions = nn.functional.pad(directions.to(means.device), (0, 0, 0, -p % 8))
    # An empty block gives the shape of the sums, because ranks without samples also reduce them.
    nothing = means.new_zeros(p, 0)
    summed = {name: sum_of(labels[:0], nothing) for name, sum_of in wanted.items()}
    own_means = _buffer(features)
    for e, y in _blocks(features, labels):
        e -= torch.index_select(means, 0, y, out=own_means[: len(y)])  # (n, d) residuals
        if wanted:
            projected = (directions @ e.T)[:p]
            summed = {name: summed[name] + wanted[name](y, projected) for name in wanted}
        if scatter:
            product.addmm_(e.T, e)
        squares.index_add_(0, y, e.norm(dim=1).square())

    flat = [squares, *(part.flatten() for part in summed.values())]
    reduced = sum_over_ranks(torch.cat(flat), group).cpu().split([len(part) for part in flat])
    if scatter:
        total = classes.counts.sum()
        product = sum_over_ranks(product, group) / total.to(product.device)
    return WithinClass(
        reduced[0] / classes.counts,
        {
            name: part.view(summed[name].shape)
            for name, part in zip(summed, reduced[1:], strict=True)
        },
        product,
    )


def float64_device(features: Tensor) -> torch.device:
    """The device for measuring: that of the features, or the CPU if that has no float64."""
    return torch.device("cpu") if features.device.type == "mps" else features.device


def _ready(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Move both to the device for measuring, and convert labels to an index."""
    device = float64_device(features)
    labels = labels if labels.is_floating_point() else labels.long()
    return features.to(device), labels.to(device)


def _blocks(features: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Blocks of rows: features (n, d) float64, overwritten by the next block, and labels (n,)."""
    buffer = _buffer(features)
    for h, y in zip(features.split(len(buffer)), labels.split(len(buffer)), strict=True):
        yield buffer[: len(h)].copy_(h), y


def _buffer(features: Tensor) -> Tensor:
    """Memory for one block of rows; allocating each block would cost more than the arithmetic."""
    on_cpu = features.device.type == "cpu"
    numbers = CPU_BLOCK * min(torch.get_num_threads(), 8) if on_cpu else GPU_BLOCK
    rows = min(len(features), numbers // max(1, features.shape[1]))
    return features.new_empty(max(1, rows), features.shape[1], dtype=torch.float64)


def _check_shards(features: Tensor, labels: Tensor, num_classes: int, group: Group) -> None:
    """Raise on every rank if any rank's shard cannot be measured."""
    fits = (
        features.ndim == 2
        and features.is_floating_point()
        and labels.shape == features.shape[:1]
        and not labels.is_floating_point()
    )
    width = features.shape[1] if fits else 0
    outside = int(((labels < 0) | (labels >= num_classes)).sum()) if fits else 0
    rank, size = rank_and_size(group)
    shards = torch.zeros(size, 3, dtype=torch.int64, device=features.device)
    shards[rank] = torch.tensor([not fits, width, outside])
    unfit, widths, outsiders = sum_over_ranks(shards, group).cpu().unbind(dim=1)
    if unfit.any():
        raise ValueError(
            "features must be (N, d) floating point and labels (N,) integers; they are "
            f"{tuple(features.shape)} {features.dtype} and {tuple(labels.shape)} {labels.dtype}"
            + ("" if size == 1 else f"; wrong on ranks {unfit.nonzero().flatten().tolist()}")
        )
    if (widths != widths[0]).any():
        raise ValueError(f"the width of the features differs between ranks: {widths.tolist()}")
    if outsiders.any():
        raise ValueError(f"{int(outsiders.sum())} labels lie outside 0..{num_classes - 1}")


def _raise_not_finite(features: Tensor, labels: Tensor, counts: Tensor, group: Group) -> None:
    """Raise an error that names the classes with NaN or Inf, and the number of samples."""
    bad = torch.zeros(len(counts), dtype=torch.int64, device=features.device)
    for h, y in _blocks(features, labels):
        bad.index_add_(0, y, (~h.isfinite().all(dim=1)).long())
    bad = sum_over_ranks(bad, group).cpu()
    if not bad.any():
        raise ValueError("the features are too large: their sums overflow float64; scale them down")
    found = [
        f"class {k} in {int(bad[k])} of {int(counts[k])} samples"
        for k in bad.nonzero().flatten().tolist()
    ]
    raise ValueError(f"features hold NaN or Inf: {', '.join(found)}")
