"""Symmetric matrices: their product from residuals, their eigenvalues and axes."""

import torch
from scipy.linalg import eigh, get_blas_funcs
from torch import Tensor


def symmetric_product(block: Tensor) -> Tensor:
    """(d, d) product blockᵀ block; on the CPU by BLAS's syrk, at half the work of a product."""
    if block.device.type != "cpu" or block.numel() == 0:
        return block.T @ block
    points = block.numpy()
    upper = get_blas_funcs("syrk", (points,))(1.0, points.T)  # the other triangle is zero
    upper = torch.from_numpy(upper)
    return upper + upper.T - upper.diag().diag()


def principal_axes(matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues (r,) of a symmetric matrix (d, d), falling, and their axes (d, r).

    LAPACK's ``syevr``, on the CPU. The divide and conquer of ``torch.linalg.eigh`` is no faster for
    the few axes wanted here, and fails to converge on one in a few hundred covariances in which
    most features are dead and the others span many orders of magnitude.

    Args:
        matrix: float64, finite.
        rank: how many; all by default.
    """
    d = len(matrix)
    wanted = None if rank is None else (d - min(rank, d), d - 1)
    values, axes = eigh(matrix.cpu().numpy(), subset_by_index=wanted, driver="evr")
    values, axes = torch.from_numpy(values), torch.from_numpy(axes)
    return values.flip(0).to(matrix.device), axes.flip(1).to(matrix.device)
