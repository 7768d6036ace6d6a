"""Symmetric matrices: scatter of residuals, eigenvalues and eigenvectors."""

from collections.abc import Iterable

import torch
from scipy.linalg import eigh, get_blas_funcs
from torch import Tensor

from collapse_lit.measure.threads import with_one_blas_thread


@with_one_blas_thread
def scatter_matrix(blocks: Iterable[Tensor], like: Tensor) -> Tensor:
    """Σ blockᵀ block over blocks of rows (B, d): float64 (d, d), each product in its block's dtype.

    On the CPU, BLAS's syrk needs half the work of a matrix product.

    Args:
        blocks: the rows, in one block or many.
        like: a tensor (…, d), which gives shape and device if there are no blocks.
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
    """The largest eigenvalues (r,) of a symmetric matrix (d, d), descending, and their axes (d, r).

    Uses LAPACK's ``syevr`` on the CPU. ``torch.linalg.eigh`` (divide and conquer) is not faster for
    a few axes. It also fails to converge on one in a few hundred covariances with mostly dead
    features and a wide range of scales.

    Args:
        matrix: float64, finite.
        rank: number of eigenvalues; all by default.
    """
    d = len(matrix)
    wanted = None if rank is None else (d - min(rank, d), d - 1)
    values, axes = eigh(matrix.cpu().numpy(), subset_by_index=wanted, driver="evr")
    values, axes = torch.from_numpy(values), torch.from_numpy(axes)
    return values.flip(0).to(matrix.device), axes.flip(1).to(matrix.device)


def gram_axes(rows: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """:func:`principal_axes` of ``rowsᵀ rows``, computed from the smaller ``rows rowsᵀ``.

    Args:
        rows: (n, d) float64, n < d.
        rank: number of eigenvalues, at most n. Axes of zero eigenvalues are zero.
    """
    values, vectors = principal_axes(_product(rows, rows.T), rank)
    axes = _product(rows.T, vectors)  # (d, r), each of length √λ
    lengths = axes.norm(dim=0)
    return values, axes / torch.where(lengths > 0, lengths, 1.0)


@with_one_blas_thread
def _product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b
