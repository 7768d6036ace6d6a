"""A refinement by a mixture moves samples near the boundary, and no others."""

import numpy as np
import pytest
import torch

from collapse_lit.measure import recover
from collapse_lit.measure.recovery.mixture import far_moved, refines


def test_only_samples_far_from_the_boundary_count() -> None:
    """By hand: two clusters around 0 and 10, with one sample between them."""
    points = np.array([[-1], [0], [1], [5.2], [9], [10], [11], [9.8]], dtype=np.float32)
    before = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    near, inside, outside = before.copy(), before.copy(), before.copy()
    near[3] = 0  # of the five around 9: at (9 − 5.2) / 9 = 0.42 of the way
    inside[5] = 0
    outside[0] = 1
    assert far_moved(points, before, before, 2) == 0
    assert far_moved(points, before, near, 2) == 0
    assert far_moved(points, before, inside, 2) == pytest.approx(1 / 8)
    assert far_moved(points, before, outside, 2) == pytest.approx(1 / 8)


def core_and_tail(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 32) and classes (n,): the first class has a narrow core and a wide tail.

    The second class is as wide as that tail, and far away.
    """
    rng = np.random.default_rng(0)
    fine = rng.integers(2, size=n)
    wide = (fine == 1) | (rng.random(n) > 0.8)
    points = np.where(wide, 1.0, 0.15)[:, None] * rng.normal(size=(n, 32))
    points[:, 0] = points[:, 0] * 0.5 + 4 * (fine - 0.5)
    return points.astype(np.float32), fine


def test_the_tail_of_a_class_stays_with_its_core() -> None:
    """A mixture fits such features best with the tail in the other class, late in collapse."""
    points, fine = core_and_tail()
    features = torch.from_numpy(points)
    found = recover(features, torch.zeros(len(features), dtype=torch.int64), 2)
    agree = float((found.ids.numpy() == fine).mean())
    assert max(agree, 1 - agree) > 0.99


def test_clusters_across_a_clear_valley_are_no_refinement() -> None:
    points, fine = core_and_tail()
    wide = np.linalg.norm(points[:, 1:], axis=1) > 2
    assert refines(points, fine, fine, 2)
    assert not refines(points, fine, (wide | (fine == 1)).astype(np.int64), 2)
    rng = np.random.default_rng(1)  # one Gaussian, cut at its mean: no valley that could be lost
    blob = rng.normal(size=(4000, 4)).astype(np.float32)
    halves = (blob[:, 0] > 0).astype(np.int64)
    turned = (blob[:, 0] + 0.2 * blob[:, 1] > 0).astype(np.int64)
    assert refines(blob, halves, turned, 2)
