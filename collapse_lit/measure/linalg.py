"""Symmetric matrices: the scatter of residuals, eigenvalues and axes."""

from collections.abc import Iterable

import torch
from scipy.linalg import eigh, get_blas_funcs
from torch import Tensor

from collapse_lit.measure.threads import with_one_blas_thread


@with_one_blas_thread
def scatter_matrix(blocks: Iterable[Tensor], like: Tensor) -> Tensor:
    """Σ blockᵀ block over blocks of rows (B, d): float64 (d, d), each product in its block's dtype.

    On the CPU by BLAS's syrk, at half the work of a product.

    Args:
        blocks: the rows, in one block or many.
        like: a tensor (…, d), for the shape and device where there is no block.
    """
    d = like.shape[-1]
    total = torch.zeros(d, d, dtype=torch.float64, device=like.device)
    if like.device.type != "cpu":
        for block in blocks:
            total += block.T @ block
        return total
    upper = total.numpy()
    for block in blocks:
        if block.numel():
            points = block.numpy()
            upper += get_blas_funcs("syrk", (points,))(1.0, points.T)  # lower triangle: zero
    return total + total.triu(1).T


@with_one_blas_thread
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


def gram_axes(rows: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """As :func:`principal_axes` of ``rowsᵀ rows``, by way of the smaller ``rows rowsᵀ``.

    Args:
        rows: (n, d) float64, n < d.
        rank: how many, at most n. Axes of zero eigenvalues are zero.
    """
    values, vectors = principal_axes(_product(rows, rows.T), rank)
    axes = _product(rows.T, vectors)  # (d, r), each of length √λ
    lengths = axes.norm(dim=0)
    return values, axes / torch.where(lengths > 0, lengths, 1.0)


@with_one_blas_thread
def _product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b
