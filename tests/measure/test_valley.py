"""A valley of density between clusters, or one shape cut in pieces."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binom

from collapse_lit.measure import recover
from collapse_lit.measure.recovery.valley import VALLEY, _valley_on, valleys

ONE = torch.zeros(1000, dtype=torch.int64)


def noise(rng: np.random.Generator, d: int = 16) -> np.ndarray:
    return rng.normal(size=(1000, d))


def half_circle(rng: np.random.Generator) -> np.ndarray:
    x, t = noise(rng, 32), rng.uniform(0, np.pi, 1000)
    x[:, 0] += 6 * np.cos(t)
    x[:, 1] += 6 * np.sin(t)
    return x


def decaying(rng: np.random.Generator) -> np.ndarray:
    return noise(rng, 64) / np.arange(1, 65)


def wide_column(rng: np.random.Generator) -> np.ndarray:
    return noise(rng) * np.r_[300, np.ones(15)]


SHAPES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "Gaussian": noise,
    "half circle": half_circle,
    "line": lambda rng: noise(rng) + np.c_[rng.uniform(-10, 10, 1000), np.zeros((1000, 15))],
    "low-rank ReLU": lambda rng: np.maximum(noise(rng, 8) @ rng.normal(size=(8, 32)) - 1, 0),
    "axes that shrink": decaying,
    "one wide column": wide_column,
}


def test_the_p_value_by_hand() -> None:
    # one half says: peaks at 0 and 1, a valley at 0.5. The other half has 9, 2 and 12 there.
    say = np.r_[np.zeros(20), np.ones(20)]
    count = np.r_[np.zeros(9), np.full(2, 0.5), np.ones(12)]
    assert _valley_on(say, count) == pytest.approx(binom.cdf(2, 11, 0.5))
    filled = np.r_[np.zeros(9), np.full(9, 0.5), np.ones(12)]
    assert _valley_on(say, filled) > 0.5


@pytest.mark.parametrize("shape", SHAPES)
def test_one_shape_is_one(shape: str) -> None:
    """On the code without valleys, five of these six were seen as two or more."""
    for seed in range(2):
        x = torch.from_numpy(SHAPES[shape](np.random.default_rng(seed))).float()
        assert recover(x, ONE, "auto", seed=seed).k == (1,)
        cut = recover(x, ONE, 2, seed=seed).classes[0]
        assert not cut.distinct
        assert min(cut.valleys) > VALLEY


@pytest.mark.parametrize(("distance", "share"), [(6, 0.5), (12, 0.5)])
def test_two_planted_clusters_are_distinct(distance: float, share: float) -> None:
    rng = np.random.default_rng(0)
    x = noise(rng)
    x[:, 0] += distance * (rng.uniform(size=1000) < share)
    found = recover(torch.from_numpy(x).float(), ONE, "auto")
    assert found.k == (2,)
    assert found.classes[0].distinct
    assert found.distinct == 1.0


def test_a_tenth_is_distinct_though_it_is_not_even() -> None:
    rng = np.random.default_rng(1)
    ids = (rng.uniform(size=1000) < 0.1).astype(np.int64)
    x = noise(rng)
    x[:, 0] += 8 * ids
    assert max(valleys(x.astype(np.float32), ids, 2, seed=0)) <= VALLEY


def test_one_poor_cluster_is_not_covered_by_an_easy_split() -> None:
    """Two far apart, and one of them cut in two at random places of its own."""
    rng = np.random.default_rng(2)
    x = noise(rng)
    ids = np.repeat([0, 1, 2], [500, 250, 250])
    x[ids == 0, 0] += 12
    x[500:] = x[500:][np.argsort(x[500:, 1])]
    far, *pieces = valleys(x.astype(np.float32), ids, 3, seed=0)
    assert far <= VALLEY
    assert min(pieces) > VALLEY


def test_too_few_samples_tell_nothing() -> None:
    rng = np.random.default_rng(3)
    x = noise(rng)[:12].astype(np.float32)
    assert valleys(x, np.arange(12) % 2, 2, seed=0).tolist() == [1, 1]
    assert valleys(x, np.zeros(12, dtype=np.int64), 1, seed=0).tolist() == [1]
    same, ids = np.zeros((200, 3), dtype=np.float32), np.arange(200) % 2
    assert valleys(same, ids, 2, seed=0).tolist() == [1, 1]
    same[:, 0] = ids  # two points
    assert valleys(same, ids, 2, seed=0).max() <= VALLEY


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(4)
    x, ids = noise(rng).astype(np.float32), rng.integers(0, 3, 1000)
    assert valleys(x, ids, 3, seed=1).tolist() == valleys(x, ids, 3, seed=1).tolist()
