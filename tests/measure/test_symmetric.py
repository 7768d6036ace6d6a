"""Eigenvalues of covariances of networks with dead features."""

import pytest
import torch

from collapse_lit.measure import fit_probe, neural_collapse
from collapse_lit.measure.linalg import gram_axes, principal_axes, scatter_matrix


def mostly_dead_features(seed: int) -> torch.Tensor:
    """48 samples of 256 features, about 23 of them alive, from 1 down to 1e-12."""
    generator = torch.Generator().manual_seed(seed)
    alive = torch.randn(48, 256, generator=generator)
    alive *= torch.rand(256, generator=generator) < 0.09
    return alive * 10 ** (-12 * torch.rand(256, generator=generator))


# On these MKL's divide and conquer, behind torch.linalg.eigh, was seen not to converge.
@pytest.mark.parametrize("seed", [18, 1563, 1604, 2521])
def test_dead_features_of_any_scale_can_be_probed_and_measured(seed: int) -> None:
    features, labels = mostly_dead_features(seed), torch.arange(48) % 4
    probe = fit_probe(features, labels, 4)
    assert (probe.predict(features) == labels).double().mean() > 0.25
    # often enough that vci is measured: the scatter is the same
    values = neural_collapse(features.repeat(6, 1), labels.repeat(6), 4)
    assert 0 <= values["vci"] <= 1


def test_axes_are_those_of_the_matrix() -> None:
    features = mostly_dead_features(18).double()
    matrix = scatter_matrix(features.split(10), like=features)
    torch.testing.assert_close(matrix, features.T @ features)
    values, axes = principal_axes(matrix)
    torch.testing.assert_close(axes @ values.diag() @ axes.T, matrix, rtol=0, atol=1e-12)
    torch.testing.assert_close(axes.T @ axes, torch.eye(256, dtype=torch.float64))
    assert (values.diff() <= 0).all()
    leading, some = principal_axes(matrix, rank=3)
    torch.testing.assert_close(leading, values[:3])
    torch.testing.assert_close((some.T @ axes[:, :3]).abs(), torch.eye(3, dtype=torch.float64))


def test_axes_by_the_gram_matrix_are_those_of_the_scatter() -> None:
    rows = torch.randn(12, 40, generator=torch.Generator().manual_seed(0)).double()
    values, axes = gram_axes(rows, 5)
    expected, reference = principal_axes(rows.T @ rows, 5)
    assert torch.allclose(values, expected)
    assert torch.allclose((axes * reference).sum(dim=0).abs(), torch.ones(5).double())
