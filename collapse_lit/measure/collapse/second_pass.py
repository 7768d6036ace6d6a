"""The pass over the residuals, which computes the statistics for the measures of every level."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from collapse_lit.measure.collapse.evidence import Evidence
from collapse_lit.measure.collapse.levels import Head, Level
from collapse_lit.measure.collapse.statistics import ClassMeans, Sum, float64_device, within_class
from collapse_lit.measure.distributed import Group


def second_pass(
    features: Tensor,
    labels: Tensor,
    classes: ClassMeans,
    levels: Sequence[Level],
    head_level: Level,
    head: Head | None,
    scatter: bool,
    group: Group,
) -> list[Evidence]:
    """Sum over the residuals around the class means, and return the evidence of each level.

    Args:
        features: (n_local, d).
        labels: (n_local,) labels of the summed classes.
        classes: counts and means of the summed classes.
        levels: The levels; the last one holds the summed classes themselves. Its directions span
            those of the other levels, so residuals are projected once.
        head_level: The level whose classes the head predicts.
        head: The last linear layer, or None.
        scatter: Whether to compute the d×d within-class scatter.
        group: Process group whose ranks hold the samples.
    """
    device = float64_device(features)
    basis = levels[-1].between
    directions = basis.whitening  # (r, d)
    turns = [
        None if level is levels[-1] else (level.between.whitening @ basis.unwhitening).to(device)
        for level in levels
    ]
    sums: dict[str, Sum] = {}
    for number, (level, turn) in enumerate(zip(levels, turns, strict=True)):
        sums[f"along {number}"] = _along(turn, basis.rank)
        sums[f"toward {number}"] = _toward(level, basis.unwhitening, basis.rank, device)
    if head is not None:
        directions = torch.cat([directions, head.weight])
        turn = turns[levels.index(head_level)]
        sums["mismatch"] = _mismatch(head, head_level, turn, classes, basis.rank, device)
    within = within_class(
        features, labels, classes, group, directions=directions, sums=sums, scatter=scatter
    )
    total = int(classes.counts.sum())
    return [
        Evidence(
            level,
            within,
            along=float(within.sums[f"along {number}"] / total),
            toward=within.sums[f"toward {number}"] / classes.counts[:, None],
            head=head if level is head_level else None,
            mismatch=float(within.sums["mismatch"] / total) if head is not None else math.nan,
        )
        for number, level in enumerate(levels)
    ]


def _along(turn: Tensor | None, rank: int) -> Sum:
    """Σ‖V e‖² = N tr(S Sb⁺), with V a level's whitening, which ``turn`` applies."""
    return lambda y, projected: _turned(projected[:rank], turn).square().sum()


def _turned(whitened: Tensor, turn: Tensor | None) -> Tensor:
    return whitened if turn is None else turn @ whitened


def _toward(level: Level, unwhitening: Tensor, rank: int, device: torch.device) -> Sum:
    """(K, C) Σ over summed class k of ((mu_j − mu_c) · e)², with c the class of k."""
    back = (level.between.centred @ unwhitening).to(device)  # (C, r)
    of, K = level.of.to(device), len(level.of)

    def sum_of(y: Tensor, projected: Tensor) -> Tensor:
        products = back @ projected[:rank]  # (C, n)
        apart = products - products.gather(0, of.index_select(0, y)[None])
        return apart.new_zeros(K, len(back)).index_add_(0, y, apart.square_().T)

    return sum_of


def _mismatch(
    head: Head,
    level: Level,
    turn: Tensor | None,
    classes: ClassMeans,
    rank: int,
    device: torch.device,
) -> Sum:
    """The number of samples for which head and nearest class mean give different classes."""
    nearest, chosen = level.nearest_mean(classes, device), head.on(classes, device)

    def sum_of(y: Tensor, projected: Tensor) -> Tensor:
        whitened, logits = _turned(projected[:rank], turn), projected[rank:]
        return (nearest(whitened, y) != chosen(logits, y)).sum().double()

    return sum_of
