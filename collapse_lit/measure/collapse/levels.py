"""One level of labels: the summed classes themselves, or groups of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lit.measure.collapse.class_means import Between, between
from collapse_lit.measure.collapse.statistics import ClassMeans

Classifier = Callable[[Tensor, Tensor], Tensor]  # projected residuals (p, n), labels (n,) → (n,)


@dataclass(frozen=True, eq=False)
class Level:
    """C classes, each of which consists of one or more of the K summed classes.

    Attributes:
        classes: counts and means of the C classes.
        between: the directions in which their means differ.
        of: (K,) int64, the class at this level of each summed class.
        counts: (K,) int64, number of samples of each summed class.
        spread: (K, d) float64, the summed classes' means around the mean of their class.
    """

    classes: ClassMeans
    between: Between
    of: Tensor
    counts: Tensor
    spread: Tensor

    @property
    def shares(self) -> Tensor:
        """(K,) float64, share of the samples in each summed class."""
        return self.counts.double() / self.counts.sum()

    def variances(self, variances: Tensor) -> Tensor:
        """(C,) v_c from the (K,) variances of the summed classes."""
        squares = self.counts * (variances + self.spread.square().sum(dim=1))
        squares = squares.where(self.counts > 0, 0.0)
        total = squares.new_zeros(len(self.classes.counts)).index_add_(0, self.of, squares)
        return total / self.classes.counts

    def explained(self, variances: Tensor) -> float:
        """Share of this level's within-class scatter that lies between summed classes."""
        between = float((self.shares * self.spread.square().sum(dim=1)).sum())
        total = float((self.classes.shares * self.variances(variances)).sum())
        return between / total if total > 0 else math.nan

    def nearest_mean(self, summed: ClassMeans, device: torch.device) -> Classifier:
        """A classifier by the nearest class mean of h = mu_k + e, from the whitened residual e.

        argmin_c ‖h − mu_c‖² = argmax_c (h − mu_G)·M_c − ‖M_c‖²/2, with M = A diag(s) Uᵀ.
        """
        M, s = self.between.centred, self.between.singular
        back = self.between.left * (s.square() / math.sqrt(len(M)))  # (C, r)
        centre = self.classes.means.mean(dim=0)
        offset = (summed.means - centre) @ M.T - M.square().sum(dim=1) / 2
        back, offset = back.to(device), offset.T.to(device)  # (C, r), (C, K)
        return lambda projected, y: (
            (back @ projected + offset.index_select(1, y)).max(dim=0).indices
        )


@dataclass(frozen=True, eq=False)
class Head:
    """The last linear layer: weight (C, d) and bias (C,), float64 on the CPU."""

    weight: Tensor
    bias: Tensor

    @staticmethod
    def of(weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> "Head | None":
        """The head, checked against (C, d); None without a weight."""
        if weight is None:
            if bias is not None:
                raise ValueError("bias was given without weight; give both")
            return None
        if tuple(weight.shape) != shape:
            raise ValueError(
                f"weight must have shape {shape}, (classes, d), not {tuple(weight.shape)}"
            )
        if bias is None:
            bias = weight.new_zeros(shape[0])
        if tuple(bias.shape) != shape[:1]:
            raise ValueError(
                f"bias must have shape {shape[:1]}, (classes,), not {tuple(bias.shape)}"
            )
        return Head(weight.detach().cpu().double(), bias.detach().cpu().double())

    def on(self, summed: ClassMeans, device: torch.device) -> Classifier:
        """A classifier argmax(Wh + b) of h = mu_k + e, from the residual e projected on W."""
        offset = (self.weight @ summed.means.T + self.bias[:, None]).to(device)  # (C, K)
        return lambda projected, y: (projected + offset.index_select(1, y)).max(dim=0).indices


def ungrouped(classes: ClassMeans) -> Level:
    """A level of the summed classes themselves."""
    return Level(
        classes,
        between(classes.means),
        torch.arange(len(classes.counts)),
        classes.counts,
        torch.zeros_like(classes.means),
    )


def grouped(summed: ClassMeans, of: Tensor, num_classes: int) -> Level:
    """A level of groups of the summed classes: class k belongs to ``of[k]`` in 0..num_classes-1."""
    d = summed.means.shape[1]
    counts = summed.counts.new_zeros(num_classes).index_add_(0, of, summed.counts)
    sums = summed.means.new_zeros(num_classes, d)
    sums.index_add_(0, of, summed.means * summed.counts[:, None])
    means = sums / counts.clamp(min=1)[:, None]
    spread = summed.means - means[of]
    return Level(ClassMeans(counts, means), between(means), of, summed.counts, spread)
