"""Unequal clusters: one direction, cut where two Gaussians describe it best."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure import recover
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


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_without_a_valley_is_found_where_even_clusters_are_not_reproducible(
    seed: int,
) -> None:
    """Even clusters of such a class differ between halves. Once they were returned all the same."""
    rng = np.random.default_rng(seed)
    rare = rng.uniform(size=1000) < 0.1
    x = rng.normal(size=(1000, 32))
    x[:, 0] += 4 * rare
    one = torch.zeros(1000, dtype=torch.int64)
    found = recover(torch.from_numpy(x).float(), one, 2).classes[0]
    assert adjusted_rand_score(rare, found.ids.numpy()) > 0.7
    assert found.stability > 0.6
    assert found.separation > 0
    assert not found.distinct, "at 4 standard deviations no valley is seen"


def test_a_gaussian_is_not_cut_into_unequal_clusters() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 32))
    found = recover(torch.from_numpy(x).float(), torch.zeros(1000, dtype=torch.int64), 2).classes[0]
    assert min(found.sizes) > 400
