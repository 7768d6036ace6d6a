"""Confidence of clusters without a valley."""

import numpy as np
import pytest

from collapse_lit.measure.recovery.refine import tempered


@pytest.mark.parametrize(
    ("depth", "stability", "expected"),
    [(0.8, 1.0, 0.9), (0.95, 1.0, 0.8), (1.1, 1.0, 0.7), (2.0, 1.0, 0.7), (2.0, 0.0, 0.9)],
)
def test_halves_that_agree_without_a_valley_lose_up_to_half(
    depth: float, stability: float, expected: float
) -> None:
    found = tempered(np.array([[0.9, 0.1]], dtype=np.float32), np.array([depth]), stability)
    assert found[0] == pytest.approx([expected, 1 - expected])
