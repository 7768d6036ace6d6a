"""How wide a class is against its distance from the others."""

import math

import pytest
import torch

from collapse_lit.measure.collapse.spread import relative_spread


def test_it_is_the_width_over_the_distance_to_the_other_means() -> None:
    x = torch.tensor([[-1.0, 0], [1, 0], [3, 3], [3, 5], [-4, 0], [-4, 0]])
    found = relative_spread(x, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
    to_others = [(25 + 16) / 2, (25 + 65) / 2, (16 + 65) / 2]
    assert found.tolist() == pytest.approx(
        [math.sqrt(v / b) for v, b in zip([1, 1, 0], to_others, strict=True)]
    )


def test_far_from_zero_it_loses_no_digits() -> None:
    x = torch.randn(400, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e-3
    coarse = torch.arange(400) % 2
    x[:, 0] += coarse
    near = relative_spread(x, coarse, 2)
    assert torch.allclose(relative_spread(x + 1e3, coarse, 2), near, rtol=1e-6)
    assert near.max() < 0.01


def test_without_another_class_there_is_no_distance() -> None:
    x, coarse = torch.randn(6, 2), torch.zeros(6, dtype=torch.int64)
    assert relative_spread(x, coarse, 1).isnan().all()
    assert relative_spread(x, coarse, 2).isnan().all()
    same = relative_spread(torch.tensor([[-1.0], [1], [-1], [1]]), torch.tensor([0, 0, 1, 1]), 2)
    assert same.isnan().all()
