"""Unequal clusters: one direction, cut where two Gaussians describe it best."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure.clustering import separation, whitened
from collapse_lit.measure.recovery.lopsided import _best_cuts, lopsided_split


def planted(n: int, share: float, distance: float, r: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rare = rng.uniform(size=n) < share
    x = rng.normal(size=(n, r))
    x[:, 0] += distance * rare
    return whitened(x.astype(np.float32)), rare


@pytest.mark.parametrize(
    ("n", "share", "distance"), [(300, 0.15, 6), (500, 0.1, 6), (2500, 0.01, 12), (500, 0.5, 6)]
)
def test_a_cluster_of_any_size_is_found(n: int, share: float, distance: float) -> None:
    points, rare = planted(n, share, distance, 32)
    assert adjusted_rand_score(rare, lopsided_split(points, 0)) > 0.9


def test_the_gain_is_that_of_separation_with_own_shares() -> None:
    points, _ = planted(400, 0.2, 6, 1)
    gained, above = _best_cuts(points.astype(np.float64))
    price = np.log(400) / 400
    expected = separation(points, above[:, 0].astype(np.int64), 2, equal=False) + price
    assert gained[0] == pytest.approx(expected, abs=1e-4)


def test_few_samples_and_equal_ones_are_cut_without_an_error() -> None:
    rng = np.random.default_rng(1)
    assert set(lopsided_split(rng.normal(size=(6, 3)).astype(np.float32), 0)) == {0, 1}
    assert lopsided_split(np.zeros((40, 3), dtype=np.float32), 0).shape == (40,)
