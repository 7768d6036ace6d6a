"""What ``recover`` is given, checked on numbers summed over ranks: all ranks raise together."""

from collections.abc import Sequence
from typing import SupportsIndex

import torch
from torch import Tensor

from collapse_lit.measure.distributed import Group, max_over_ranks, sum_over_ranks


def count_samples(
    features: Tensor, coarse: Tensor, num_coarse: int | None, group: Group
) -> list[int]:
    """Samples per coarse class over all ranks, or one error, the same on every rank."""
    if features.ndim != 2 or coarse.shape != features.shape[:1]:
        raise ValueError(
            f"features {tuple(features.shape)} must be (N, d) and coarse {tuple(coarse.shape)} (N,)"
        )
    largest = int(max_over_ranks(coarse.max() if len(coarse) else coarse.new_tensor(-1), group))
    num_coarse = largest + 1 if num_coarse is None else num_coarse
    inside = (coarse >= 0) & (coarse < num_coarse)
    finite = features.sum(dim=1).isfinite()  # one pass; a sum may also overflow, so look again
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
    """The number of clusters of each coarse class; None where it is to be estimated."""
    if isinstance(k, str):
        if k != "auto":
            raise ValueError(f"k must be a number, one number per coarse class, or 'auto': {k!r}")
        return [None] * len(counts)
    if isinstance(k, SupportsIndex):
        numbers: list[int | None] = [int(k)] * len(counts)
    else:
        numbers = [None if number is None else int(number) for number in k]
    if len(numbers) != len(counts):
        raise ValueError(f"k has {len(numbers)} numbers for {len(counts)} coarse classes")
    for c, (number, count) in enumerate(zip(numbers, counts, strict=True)):
        if number is not None and not 1 <= number <= count:
            raise ValueError(f"coarse class {c}: cannot make {number} clusters of {count} samples")
    return numbers
