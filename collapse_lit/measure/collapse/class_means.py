"""Measures of the class means alone: span, distances, and closeness to a simplex ETF."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = torch.finfo(torch.float64).eps
CLOSE = 1e-2  # share of ‖x‖² + ‖y‖² below which a squared distance is computed from x − y
PAIRS_AT_ONCE = 4096


@dataclass(frozen=True)
class Between:
    """The directions in which C class means differ: thin SVD M = A diag(s) Uᵀ, cut at its rank.

    Attributes:
        centred: (C, d) float64, M: rows mu_c − mu_G, with mu_G the mean of the class means.
        left: (C, r) float64, A.
        singular: (r,) float64, s, descending.
        right: (d, r) float64, U.
    """

    centred: Tensor
    left: Tensor
    singular: Tensor
    right: Tensor

    @property
    def rank(self) -> int:
        """R, at most C − 1."""
        return len(self.singular)

    @property
    def singular_ratio(self) -> float:
        """Smallest kept over largest singular value of M; nan when all means are equal."""
        return float(self.singular[-1] / self.singular[0]) if self.rank else math.nan

    @property
    def whitening(self) -> Tensor:
        """(r, d) V with Sb⁺ = VᵀV, so that tr(S Sb⁺) = tr(VSVᵀ) for any scatter S."""
        return self.right.T * (math.sqrt(len(self.centred)) / self.singular)[:, None]

    @property
    def unwhitening(self) -> Tensor:
        """(d, r) the pseudo-inverse of :attr:`whitening`."""
        return self.right * (self.singular / math.sqrt(len(self.centred)))


def between(means: Tensor) -> Between:
    """SVD of the centred class means (C, d), cut at its numerical rank.

    Inverting Sb = MᵀM/C would square the singular-value ratio and lose directions below √(d·eps).
    This keeps the first C − 1 singular values above max(C, d)·eps·‖means‖_F, the rounding error of
    the means.
    """
    centred = means - means.mean(dim=0)
    left, singular, right = torch.linalg.svd(centred, full_matrices=False)
    floor = max(means.shape) * EPS * float(means.norm())
    rank = int((singular[: len(means) - 1] > floor).sum())
    return Between(centred, left[:, :rank], singular[:rank], right[:rank].T)


def squared_distances(points: Tensor) -> Tensor:
    """(K, K) squared Euclidean distances of the rows of (K, d).

    Computes ‖x‖² + ‖y‖² − 2xy of the centred points. For close pairs, which lose digits in the
    subtraction, it computes ‖x − y‖² directly.
    """
    centred = points - points.mean(dim=0)
    product = centred @ centred.T
    norms = product.diagonal()
    scale = norms[:, None] + norms
    squared = scale - 2 * product
    close = (squared < CLOSE * scale).triu(1).nonzero()  # (pairs, 2)
    for i, j in (pairs.unbind(dim=1) for pairs in close.split(PAIRS_AT_ONCE)):
        squared[i, j] = squared[j, i] = (centred[i] - centred[j]).square().sum(dim=1)
    return squared.fill_diagonal_(0.0)


def equinorm(M: Tensor) -> float:
    """std_c‖M_c‖ / mean_c‖M_c‖ with the population standard deviation (÷C)."""
    norms = M.norm(dim=1)
    return float(norms.std(correction=0) / norms.mean())


def equiangular(M: Tensor) -> float:
    """Mean over i≠j of |cos(M_i, M_j) + 1/(C−1)|."""
    C = len(M)
    unit = M / M.norm(dim=1, keepdim=True)
    deviation = (unit @ unit.T + 1 / (C - 1)).abs()
    return float((deviation.sum() - deviation.diagonal().sum()) / (C * (C - 1)))


def etf_error(product: Tensor) -> float:
    """‖P/‖P‖_F − (I − 11ᵀ/C)/√(C−1)‖_F of a (C, C) product such as MMᵀ, WWᵀ or WMᵀ."""
    C = len(product)
    etf = (torch.eye(C, dtype=product.dtype) - 1 / C) / math.sqrt(C - 1)
    return float((product / product.norm() - etf).norm())
