"""Neural collapse of features for one set of labels, or for coarse and fine labels together."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lit.measure.collapse.class_means import squared_distances
from collapse_lit.measure.collapse.evidence import Evidence
from collapse_lit.measure.collapse.levels import Head, grouped, ungrouped
from collapse_lit.measure.collapse.measures import directional_ratios, measures
from collapse_lit.measure.collapse.second_pass import second_pass
from collapse_lit.measure.collapse.statistics import (
    ClassMeans,
    class_means,
    count_classes,
    within_class,
)
from collapse_lit.measure.distributed import Group
from collapse_lit.measure.full_float32 import full_float32


@dataclass(frozen=True, eq=False)
class HierarchicalCollapse:
    """Neural collapse onto coarse and fine classes, from one set of fine-level statistics.

    Attributes:
        coarse: measures with respect to the coarse labels, keys as in :func:`neural_collapse`.
        fine: measures with respect to the fine labels, nan if a fine class has no samples. Two more
            keys are added. ``explained`` is the share in [0, 1] of the within-coarse scatter that
            lies between fine classes: tr(scatter of fine means around their coarse mean) / tr(Sw of
            the coarse labels), both ÷N; nan if Sw = 0. ``directional_cdnv_siblings`` is the mean of
            ``directional_cdnv`` over pairs of fine classes inside the same coarse class; nan
            without such pairs.
        distances: (F, F) float64, :func:`class_distances` of the fine classes.
    """

    coarse: dict[str, float]
    fine: dict[str, float]
    distances: Tensor


@torch.no_grad()
@full_float32()
def neural_collapse(
    features: Tensor,
    labels: Tensor,
    num_classes: int | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    group: Group = None,
    vci: bool = True,
    variants: bool = False,
) -> dict[str, float]:
    """Measure the collapse of features onto their class means (Papyan, Han, Donoho 2020).

    The input is the features of all samples and their labels, the output a dictionary of numbers.
    For features in batches, use :class:`~collapse_lit.measure.NeuralCollapse`.

    Features h_i in R^d, labels y_i in 0..C-1, n_c samples of class c, N in all, head W (C×d), b.
    mu_c = class mean, mu_G = mean of the class means, M = rows mu_c − mu_G,
    Sw = (1/N) Σ_i (h_i − mu_{y_i})(h_i − mu_{y_i})ᵀ, Sb = (1/C) MᵀM,
    v_c = mean over class c of ‖h − mu_c‖². All measures are dimensionless, and 0 at full collapse
    unless stated otherwise:

    - ``nc1``: tr(Sw Sb⁺) / C [1]. ``nc1_rank`` is the numerical rank of M (at most C−1), and
      ``nc1_singular_ratio`` is the smallest kept over the largest singular value of M. A rank below
      C−1 means that class means are equal or affinely dependent. nc1 then ignores the missing
      directions.
    - ``nc1_trace``: tr Sw / tr Sb [2]
    - ``cdnv``: mean over i≠j of (v_i + v_j) / (2‖mu_i − mu_j‖²) [3]
    - ``directional_cdnv``: mean over i≠j of the variance of class i along mu_i − mu_j, divided by
      ‖mu_i − mu_j‖² [8]: the part of ``cdnv`` that limits a linear probe
    - ``vci``: 1 − tr((Sb+Sw)⁺ Sb) / min(d, C−1) [4]. It is nan if N − C < d: Sw is then singular,
      and the formula would give 0 for any features.
    - ``rankme``: exp(−Σ p_k log p_k), p_k = σ_k / Σσ, with σ the singular values of the uncentred
      features [9]: an effective rank in 1..d, C or C−1 at full collapse
    - ``nc2_equinorm``: std_c‖M_c‖ / mean_c‖M_c‖, population standard deviation [1]
    - ``nc2_equiangular``: mean over i≠j of |cos(M_i, M_j) + 1/(C−1)| [1]
    - ``nc2_etf``: ‖MMᵀ/‖MMᵀ‖_F − (I − 11ᵀ/C)/√(C−1)‖_F, on M [5]
    - ``nc3``, with ``weight``: ‖W/‖W‖_F − M/‖M‖_F‖²_F, squared [1]
    - ``nc4``, with ``weight``: share of samples with argmax(Wh + b) ≠ argmin_c‖h − mu_c‖ [1]

    ``variants=True`` adds other definitions that are used under the same names:

    - ``nc1_undivided``: tr(Sw Sb⁺) without ÷C, as in the notebook published with [1]
    - ``nc3_unsquared``: ‖W/‖W‖_F − M/‖M‖_F‖_F [6]
    - ``nc3_etf``: ‖WMᵀ/‖WMᵀ‖_F − (I − 11ᵀ/C)/√(C−1)‖_F, NC3 of [5]
    - ``nc2_etf_weight``: ``nc2_etf`` of W in place of M, NC2 of [5]
    - ``nc4_agreement``: 1 − nc4 [7]
    - ``nc4_bias``: ‖W mu_G + b‖, NC4 of the code published with [5]; in units of the logits

    Sums are float64 over centred residuals, for any dtype of the features. An undefined measure is
    nan (all class means equal) or inf (``cdnv`` if two class means are equal). A class of one
    sample has v_c = 0.

    Args:
        features: (n_local, d) floating point, the input of the last linear layer, each sample once,
            on any device. Use float32 or better: rounding in bfloat16 limits how small nc1 can get.
        labels: (n_local,) integers in 0..num_classes-1.
        num_classes: C, at least 2; by default the largest label of all ranks plus one.
        weight: (C, d) weight of the last linear layer.
        bias: (C,) its bias; ``None`` for none.
        group: process group whose ranks hold disjoint shards of the samples, of any sizes. Every
            rank gets the same numbers. ``None`` for a single process.
        vci: Also measure ``vci`` and ``rankme``. They need the d×d scatter, which costs several
            times as much as all other measures.
        variants: Also return the other definitions listed above.

    Returns:
        The measures by key, in float64.

    Raises:
        ValueError: On all ranks: a class has no samples, features hold NaN or Inf, a label is out
            of range, or shapes do not fit. The message names the classes.

    Example:
        >>> features = torch.tensor([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]])
        >>> neural_collapse(features, torch.tensor([0, 0, 1, 1]))["nc1_trace"]  # Sw: 1, Sb: 4
        0.25

    Sources:
        [1] Papyan, Han, Donoho, PNAS 2020, doi 10.1073/pnas.2015509117.
        [2] Tirer, Huang, Niles-Weed, ICML 2023, Perturbation Analysis of Neural Collapse.
        [3] Galanti, György, Hutter, ICLR 2022, arXiv 2112.15121.
        [4] Xu, Liu 2023, arXiv 2306.03440.
        [5] Zhu et al., NeurIPS 2021, arXiv 2105.02375.
        [6] For example nc-toolbox, https://github.com/felixsh/nc-toolbox.
        [7] Wu, Papyan, NeurIPS 2024, arXiv 2405.17767.
        [8] Luthra, Salunkhe, Galanti 2026.
        [9] Garrido, Balestriero, Najman, LeCun, ICML 2023, RankMe, arXiv 2210.02885.
    """
    num_classes = num_classes or count_classes(labels, group)
    if num_classes < 2:
        raise ValueError(f"neural collapse needs at least two classes, not {num_classes}")
    classes = class_means(features, labels, num_classes, group)
    classes.require_samples()
    head = Head.of(weight, bias, tuple(classes.means.shape))
    level = ungrouped(classes)
    evidence = second_pass(features, labels, classes, [level], level, head, vci, group)
    return measures(evidence[0], variants=variants)


@torch.no_grad()
@full_float32()
def hierarchical_collapse(
    features: Tensor,
    fine: Tensor,
    fine_to_coarse: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    group: Group = None,
    vci: bool = True,
) -> HierarchicalCollapse:
    """:func:`neural_collapse` for coarse and fine labels together, with measures of both levels.

    This costs the same as for the fine labels alone: coarse scatter is fine scatter plus the
    scatter of the fine means, and coarse means differ only in directions in which fine means
    differ.

    Args:
        features: (n_local, d), as for :func:`neural_collapse`.
        fine: (n_local,) fine labels in 0..F-1.
        fine_to_coarse: (F,) integers, the coarse class 0..C-1 of each fine class.
        weight: weight of the linear layer on the features. (C, d) gives ``nc3`` and ``nc4`` of the
            coarse measures; (F, d) with F ≠ C gives those of the fine measures.
        bias: (C,) or (F,) its bias; ``None`` for none.
        group: process group whose ranks hold the samples; ``None`` for a single process.
        vci: Also measure ``vci`` and ``rankme``, as for :func:`neural_collapse`.

    Raises:
        ValueError: On all ranks, as :func:`neural_collapse`. A coarse class without samples is an
            error, a fine class without samples is not.
    """
    fine_to_coarse = fine_to_coarse.cpu().long()
    num_fine, num_coarse = len(fine_to_coarse), int(fine_to_coarse.max()) + 1
    if num_coarse < 2 or fine_to_coarse.min() < 0:
        raise ValueError("fine_to_coarse must contain at least two coarse classes, numbered from 0")
    classes = class_means(features, fine, num_fine, group)
    coarse_level, fine_level = grouped(classes, fine_to_coarse, num_coarse), ungrouped(classes)
    coarse_level.classes.require_samples("coarse class")
    on_fine = weight is not None and len(weight) == num_fine != num_coarse
    head_level = fine_level if on_fine else coarse_level
    head = Head.of(weight, bias, tuple(head_level.classes.means.shape))

    coarse, of_fine = second_pass(
        features, fine, classes, [coarse_level, fine_level], head_level, head, vci, group
    )
    fine_values = measures(of_fine)
    if (classes.counts == 0).any():
        fine_values = dict.fromkeys(fine_values, math.nan)
    return HierarchicalCollapse(
        coarse=measures(coarse),
        fine=fine_values | _of_siblings(of_fine, coarse),
        distances=_distances(classes, coarse.within.variances),
    )


@torch.no_grad()
def class_distances(
    features: Tensor, labels: Tensor, num_classes: int | None = None, *, group: Group = None
) -> Tensor:
    """Mean squared distances between the samples of two classes (heat map of Yang et al. 2023).

    D_ij = mean of ‖h_u − h_w‖² over u in class i and w in class j, u ≠ w if i = j. It is v_i + v_j
    + ‖mu_i − mu_j‖² off the diagonal and 2 v_i n_i/(n_i − 1) on it. The unit is that of the
    features, squared. Source: Yang, Steinhardt, Hu, ICML 2023, Are Neurons Actually Collapsed?

    Args:
        features: (n_local, d), as for :func:`neural_collapse`.
        labels: (n_local,) integers in 0..num_classes-1.
        num_classes: K; by default the largest label of all ranks plus one.
        group: process group whose ranks hold the samples; ``None`` for a single process.

    Returns:
        (K, K) float64 on the CPU; nan in the row and column of a class without samples, and on the
        diagonal for a class of one sample.

    Raises:
        ValueError: On all ranks, as :func:`neural_collapse`, but not for empty classes.
    """
    classes = class_means(features, labels, num_classes or count_classes(labels, group), group)
    return _distances(classes, within_class(features, labels, classes, group).variances)


def _of_siblings(fine: Evidence, coarse: Evidence) -> dict[str, float]:
    """The additional measures of fine classes inside their coarse class."""
    of = coarse.level.of
    siblings = (of[:, None] == of) & ~torch.eye(len(of), dtype=torch.bool)
    apart = directional_ratios(fine)[siblings]
    return {
        "explained": coarse.level.explained(coarse.within.variances),
        "directional_cdnv_siblings": float(apart.mean()) if siblings.any() else math.nan,
    }


def _distances(classes: ClassMeans, variances: Tensor) -> Tensor:
    distances = variances[:, None] + variances + squared_distances(classes.means)  # (K, K)
    pairs = classes.counts.double() / (classes.counts - 1)  # n/(n−1); inf for a single sample
    return distances.diagonal_scatter(2 * variances * pairs)
