"""The measures of neural collapse: one function each, logged under its name.

A new measure is a function of :class:`Evidence` with the decorator ``@measure()``, and a row in
``collapse_lit.metrics``. The docstring of :func:`neural_collapse` has definitions and sources.
"""

import math

import torch
from torch import Tensor

from collapse_lit.measure.collapse.class_means import (
    EPS,
    equiangular,
    equinorm,
    etf_error,
    squared_distances,
)
from collapse_lit.measure.collapse.evidence import REGISTRY, Evidence, measure
from collapse_lit.measure.collapse.levels import Level
from collapse_lit.measure.linalg import principal_axes


@measure()
def nc1(of: Evidence) -> float:
    """tr(Sw Sb⁺) / C."""
    return nc1_undivided(of) / len(of.centred)


@measure()
def nc1_rank(of: Evidence) -> float:
    """Numerical rank of M."""
    return float(of.level.between.rank)


@measure()
def nc1_singular_ratio(of: Evidence) -> float:
    """Smallest kept over largest singular value of M."""
    return of.level.between.singular_ratio


@measure()
def nc1_trace(of: Evidence) -> float:
    """Tr Sw / tr Sb."""
    M = of.centred
    return float((of.level.classes.shares * of.variances).sum() / M.square().sum() * len(M))


@measure()
def cdnv(of: Evidence) -> float:
    """Mean over i≠j of (v_i + v_j) / (2‖mu_i − mu_j‖²)."""
    v = of.variances
    ratios = (v[:, None] + v) / (2 * squared_distances(of.level.classes.means))  # (C, C)
    return _mean_of_pairs(ratios)


@measure("toward")
def directional_cdnv(of: Evidence) -> float:
    """Mean over i≠j of the variance of class i along mu_i − mu_j, ÷ ‖mu_i − mu_j‖²."""
    return _mean_of_pairs(directional_ratios(of))


def directional_ratios(of: Evidence) -> Tensor:
    """(C, C) variance of class i along mu_i − mu_j, ÷ ‖mu_i − mu_j‖²; nan on the diagonal."""
    assert of.toward is not None
    level, C = of.level, len(of.centred)
    products = level.spread @ of.centred.T  # (K, C) mu_j · (mean of k − mu_c)
    spread = products - products.gather(1, level.of[:, None])
    squares = level.counts[:, None] * (of.toward + spread.square())
    squares = squares.where(level.counts[:, None] > 0, 0.0)
    sums = squares.new_zeros(C, C).index_add_(0, level.of, squares)
    variances = sums / level.classes.counts[:, None]  # times ‖mu_i − mu_j‖²
    return variances / squared_distances(level.classes.means).square()


def _mean_of_pairs(ratios: Tensor) -> float:
    return float(ratios[~torch.eye(len(ratios), dtype=torch.bool)].mean())


@measure("scatter")
def vci(of: Evidence) -> float:
    """1 − tr((Sb+Sw)⁺ Sb) / min(d, C−1); nan if Sw does not have full rank."""
    level = of.level
    reached = int(level.counts.sum()) - len(of.centred) >= level.classes.means.shape[1]
    return _vci(level, of.within_scatter()) if reached else math.nan


@measure("scatter")
def rankme(of: Evidence) -> float:
    """Exp of the entropy of the features' singular values, as shares of their sum."""
    Sw = of.within_scatter()
    if not Sw.isfinite().all():
        return math.nan
    means = of.level.classes.means * of.level.classes.shares.sqrt()[:, None]
    eigenvalues, Q = principal_axes(Sw)
    kept = eigenvalues > len(Sw) * EPS * eigenvalues[0]  # smaller eigenvalues are rounding errors
    axes = Q[:, kept].T * eigenvalues[kept].sqrt()[:, None]
    # The mean of hhᵀ is RᵀR. Its eigenvalues would lose half of the digits of small singular
    # values.
    R = torch.cat([axes, means.to(Sw.device)])
    singular = torch.linalg.svdvals(R)
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


@measure()
def nc2_equinorm(of: Evidence) -> float:
    """std_c‖M_c‖ / mean_c‖M_c‖."""
    return equinorm(of.centred)


@measure()
def nc2_equiangular(of: Evidence) -> float:
    """Mean over i≠j of |cos(M_i, M_j) + 1/(C−1)|."""
    return equiangular(of.centred)


@measure()
def nc2_etf(of: Evidence) -> float:
    """Distance of the normalised MMᵀ from that of a simplex equiangular tight frame."""
    return etf_error(of.centred @ of.centred.T)


@measure("head")
def nc3(of: Evidence) -> float:
    """‖W/‖W‖_F − M/‖M‖_F‖²_F."""
    return nc3_unsquared(of) ** 2


@measure("head")
def nc4(of: Evidence) -> float:
    """Share of samples for which head and nearest class mean give different classes."""
    return of.mismatch if of.level.between.rank > 0 else math.nan


@measure(variant=True)
def nc1_undivided(of: Evidence) -> float:
    """tr(Sw Sb⁺)."""
    level, V = of.level, of.level.between.whitening
    spread = float((level.shares * (V @ level.spread.T).square().sum(dim=0)).sum())
    return of.along + spread if level.between.rank > 0 else math.nan


@measure("head", variant=True)
def nc3_unsquared(of: Evidence) -> float:
    """‖W/‖W‖_F − M/‖M‖_F‖_F."""
    W, M = _weight(of), of.centred
    return float((W / W.norm() - M / M.norm()).norm())


@measure("head", variant=True)
def nc3_etf(of: Evidence) -> float:
    """Distance of the normalised WMᵀ from that of a simplex equiangular tight frame."""
    return etf_error(_weight(of) @ of.centred.T)


@measure("head", variant=True)
def nc2_etf_weight(of: Evidence) -> float:
    """``nc2_etf`` of W instead of M."""
    return etf_error(_weight(of) @ _weight(of).T)


@measure("head", variant=True)
def nc4_agreement(of: Evidence) -> float:
    """1 − nc4."""
    return 1 - nc4(of)


@measure("head", variant=True)
def nc4_bias(of: Evidence) -> float:
    """‖W mu_G + b‖, in units of the logits."""
    assert of.head is not None
    return float((_weight(of) @ of.level.classes.means.mean(dim=0) + of.head.bias).norm())


def _weight(of: Evidence) -> Tensor:
    assert of.head is not None
    return of.head.weight


def _vci(level: Level, Sw: Tensor) -> float:
    """1 − tr((Sb+Sw)⁺ Sb) / min(d, C−1), without the cancellation of that subtraction.

    With Sb = BBᵀ and G = Bᵀ Sw⁻¹ B (r×r), tr((Sb+Sw)⁺ Sb) = r − tr((I+G)⁻¹), and near collapse G is
    large. A singular Sw is treated as the limit of zero eigenvalues.
    """
    limit, rank = min(len(Sw), len(level.between.centred) - 1), level.between.rank
    if not Sw.isfinite().all():  # squares of the features overflow
        return math.nan
    B = level.between.unwhitening.to(Sw.device)  # (d, r)
    L, failed = torch.linalg.cholesky_ex(Sw)
    pivots = L.diagonal().square()
    if not failed and pivots.min() > len(Sw) * EPS * pivots.max():
        root = torch.linalg.solve_triangular(L, B, upper=False)  # (d, r), G = rootᵀ root
    else:
        eigenvalues, Q = principal_axes(Sw)
        if eigenvalues[0] <= 0:  # every sample equals its class mean
            return (limit - rank) / limit
        eigenvalues = eigenvalues.clamp(min=len(Sw) * EPS * float(eigenvalues[0]))
        root = (Q.T @ B) / eigenvalues.sqrt()[:, None]
    left_over = 1 / (1 + torch.linalg.eigvalsh(root.T @ root))  # (r,)
    return (float(left_over.sum()) + (limit - rank)) / limit


def measures(of: Evidence, *, variants: bool = False) -> dict[str, float]:
    """All measures that the evidence allows, by name."""
    there = {
        "means": True,
        "scatter": of.within.scatter.numel() > 0,
        "toward": of.toward is not None,
        "head": of.head is not None,
    }
    return {
        name: entry.function(of)
        for name, entry in REGISTRY.items()
        if there[entry.needs] and (variants or not entry.variant)
    }


def names() -> tuple[str, ...]:
    """The measures that a monitor logs, in order."""
    return tuple(name for name, entry in REGISTRY.items() if not entry.variant)
