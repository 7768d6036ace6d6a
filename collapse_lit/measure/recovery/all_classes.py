"""Recover hidden fine classes by clusters inside each coarse class, without fine labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    from_all_ranks,
    max_over_ranks,
    rank_and_size,
    rows_to_owners,
    sum_over_ranks,
)
from collapse_lit.measure.full_float32 import full_float32
from collapse_lit.measure.labels import as_labels
from collapse_lit.measure.neighbours import load_faiss
from collapse_lit.measure.recovery.clusters import ClassClusters, Recovery
from collapse_lit.measure.recovery.one_class import ClassPoints, cluster_class
from collapse_lit.measure.recovery.sharing import owners, side_by_side
from collapse_lit.measure.recovery.spaces import (
    Space,
    coordinates,
    laid_out,
    point_one_way,
    spaces_to_try,
)


@torch.no_grad()
@full_float32()
def recover(
    features: Tensor,
    coarse: Tensor,
    k: int | Sequence[int | None] | str = 2,
    *,
    num_coarse: int | None = None,
    seed: int = 0,
    index: Tensor | None = None,
    group: Group = None,
    space: str | Space | None = None,
) -> Recovery:
    """Find the clusters inside each coarse class; see ``docs/recovery.md`` for the method.

    With a group, every rank passes its own samples and gets their clusters. Ranks sum scatter
    matrices. One rank clusters each coarse class, and only that rank gets the coordinates of its
    samples. The result depends on ``seed`` and ``index``, not on the distribution of samples over
    ranks.

    Args:
        features: (n_local, d) floating point, on CPU or CUDA, of any scale and offset.
        coarse: (n_local,) int64 coarse labels.
        k: number of clusters in every coarse class, a sequence with one number per class, or
            ``"auto"`` to estimate each number: 1 (no sub-structure) to 8, and again 1 to 8 inside
            each distinct cluster. None in a sequence estimates the number of that class.
        num_coarse: number of coarse classes C, by default the largest label plus one.
        seed: seed of all random starts and halves, 0 or more.
        index: (n_local,) int64 global sample ids, by default the positions, with ranks in order.
        group: process group whose ranks hold the samples; ``None`` for a single process.
        space: one space and clusterer for all classes, such as ``"raw/kmeans"`` (plain Faiss
            k-means) or ``"white16/gmm"``; None or ``"auto"`` for the label-free choice.

    Returns:
        The clusters and their label-free scores.

    Raises:
        ValueError: shapes disagree, a label is out of range, features are not finite, a sample id
            occurs twice, or a coarse class has no samples or fewer than k; the message names the
            class. Also raised if the space is not registered, if k must be estimated in a space
            that is not whitened, or if the seed is negative.
        ImportError: Faiss is not installed.
    """
    if not isinstance(seed, SupportsIndex) or int(seed) < 0:
        raise ValueError(f"seed must be a whole number, 0 or more, not {seed!r}")
    load_faiss()  # fails first and on all ranks if Faiss is missing
    if features.dtype not in (torch.float32, torch.float64):
        features = features.float()
    coarse = as_labels(coarse, "coarse labels").to(features.device)
    counts = _count_samples(features, coarse, num_coarse, group)
    numbers = clusters_per_class(k, counts)
    spaces = spaces_to_try(space, estimate=None in numbers)
    index = _global_index(len(features), group, coarse) if index is None else index
    index = index.to(features.device)
    owner = owners(counts, numbers, group)
    gathered = _gather(features, coarse, index, owner, spaces, group)

    def cluster(c: int) -> ClassClusters:
        return cluster_class(gathered.of_class(c, seed), numbers[c], seed, features.device)

    rank, _ = rank_and_size(group)
    mine = np.flatnonzero(owner == rank).tolist()
    classes = from_all_ranks(lambda: side_by_side(cluster, mine), group, "cluster")
    return Recovery.of(sorted(classes, key=lambda found: found.coarse), index)


def _count_samples(
    features: Tensor, coarse: Tensor, num_coarse: int | None, group: Group
) -> list[int]:
    """Samples per coarse class over all ranks; any error is raised on every rank."""
    if features.ndim != 2 or coarse.shape != features.shape[:1]:
        raise ValueError(
            f"features {tuple(features.shape)} must be (N, d) and coarse {tuple(coarse.shape)} (N,)"
        )
    largest = int(max_over_ranks(coarse.max() if len(coarse) else coarse.new_tensor(-1), group))
    num_coarse = largest + 1 if num_coarse is None else num_coarse
    inside = (coarse >= 0) & (coarse < num_coarse)
    finite = features.sum(dim=1).isfinite()  # fast; a sum may also overflow, so check again
    finite[~finite] = features[~finite].isfinite().all(dim=1)
    totals = torch.zeros(2, num_coarse + 1, dtype=torch.int64, device=coarse.device)
    totals[0] = torch.bincount(coarse.where(inside, num_coarse), minlength=num_coarse + 1)
    totals[1] = torch.bincount(coarse.where(inside, num_coarse)[~finite], minlength=num_coarse + 1)
    totals = sum_over_ranks(totals, group)
    counts = totals[0, :-1].tolist()
    if totals[0, -1] > 0:
        raise ValueError(f"{int(totals[0, -1])} coarse labels lie outside 0..{num_coarse - 1}")
    for c, bad in enumerate(totals[1, :-1].tolist()):
        if bad:
            raise ValueError(f"coarse class {c}: {bad} samples have NaN or infinite features")
    for c, count in enumerate(counts):
        if count == 0:
            raise ValueError(f"coarse class {c} has no samples")
    if not counts:
        raise ValueError("no samples to cluster")
    return counts


def clusters_per_class(
    k: int | Sequence[int | None] | str, counts: Sequence[int]
) -> list[int | None]:
    """The number of clusters of each coarse class; None to estimate it."""
    if isinstance(k, str):
        if k != "auto":
            raise ValueError(f"k must be a number, one number per coarse class, or 'auto': {k!r}")
        return [None] * len(counts)
    each = [k] if isinstance(k, (SupportsIndex, float)) else k
    if not all(number is None or isinstance(number, SupportsIndex) for number in each):
        raise ValueError(f"k must be whole numbers, not {k!r}")
    if isinstance(k, SupportsIndex):
        numbers: list[int | None] = [int(k)] * len(counts)
    else:
        numbers = [None if number is None else int(number) for number in k]
    if len(numbers) != len(counts):
        raise ValueError(f"k has {len(numbers)} numbers for {len(counts)} coarse classes")
    for c, (number, count) in enumerate(zip(numbers, counts, strict=True)):
        if number is not None and not 1 <= number <= count:
            raise ValueError(f"coarse class {c}: {count} samples are too few for {number} clusters")
    return numbers


@dataclass(frozen=True)
class Gathered:
    """The n samples of this rank's coarse classes, in the order of their ids, on the CPU.

    Attributes:
        index: (n,) int64 sample ids, ascending.
        coarse: (n,) int64.
        points: (n, Σ r) float32, the coordinates in each space, side by side.
        widths: number of coordinates in each space.
        one_way: (C,) bool, classes for which unit- spaces are candidates; None for all.
    """

    index: Tensor
    coarse: Tensor
    points: Tensor
    widths: dict[Space, int]
    one_way: Tensor | None

    def of_class(self, c: int, seed: int) -> ClassPoints:
        """The samples of one coarse class in each space, as clustered there."""
        rows = torch.where(self.coarse == c)[0]
        parts = self.points[rows].split(list(self.widths.values()), dim=1)
        points = {
            space: laid_out(part, space, seed).numpy()
            for space, part in zip(self.widths, parts, strict=True)
            if self.one_way is None or self.one_way[c] or not space.unit
        }
        return ClassPoints(c, self.index[rows], points)


def _gather(
    features: Tensor,
    coarse: Tensor,
    index: Tensor,
    owner: np.ndarray,
    spaces: Sequence[Space],
    group: Group,
) -> Gathered:
    """Gather coordinates, labels and ids on the ranks that cluster the samples' classes.

    Args:
        features: (n_local, d).
        coarse: (n_local,) int64.
        index: (n_local,) int64 sample ids.
        owner: (C,) the rank that clusters each coarse class.
        spaces: which coordinates.
        group: process group whose ranks hold the samples.

    Raises:
        ValueError: a sample id occurs twice; raised on every rank.
    """
    ids = concat_over_ranks(index, group).sort().values
    if (ids[1:] == ids[:-1]).any():
        raise ValueError("a sample id occurs twice in index: was the data padded?")
    num_coarse = len(owner)
    found = {space: coordinates(features, coarse, num_coarse, space, group) for space in spaces}
    choice = any(space.unit for space in spaces) and not all(space.unit for space in spaces)
    one_way = point_one_way(features, coarse, num_coarse, group) if choice else None
    to = torch.from_numpy(owner).to(coarse.device)[coarse]  # (n_local,) ranks
    points = rows_to_owners(torch.cat(list(found.values()), dim=1), to, group).cpu()
    labels = rows_to_owners(torch.stack([index, coarse], dim=1), to, group).cpu()
    index, coarse = labels.T.contiguous()  # (n,) each
    if not (index[1:] > index[:-1]).all():
        order = index.argsort()
        index, coarse, points = index[order], coarse[order], points[order]
    widths = {space: f.shape[1] for space, f in found.items()}
    return Gathered(index, coarse, points, widths, one_way)


def _global_index(n_local: int, group: Group, like: Tensor) -> Tensor:
    """Sample ids 0..N-1, with ranks in order."""
    rank, size = rank_and_size(group)
    lengths = torch.zeros(size, dtype=torch.int64, device=like.device)
    lengths[rank] = n_local
    lengths = sum_over_ranks(lengths, group)
    return torch.arange(n_local, device=like.device) + lengths[:rank].sum()
