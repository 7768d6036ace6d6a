"""A valley of density between clusters, or parts of a continuum."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.tree import ExtraTreeRegressor

from collapse_lit.measure import recover
from collapse_lit.measure.recovery import trees
from collapse_lit.measure.recovery.valley import DEPTH, VALLEY, Valleys, p_of_counts, valleys

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
    "circle": lambda rng: circle(rng),
}


def circle(rng: np.random.Generator) -> np.ndarray:
    x, t = noise(rng, 32), rng.uniform(0, 2 * np.pi, 1000)
    x[:, 0] += 6 * np.cos(t)
    x[:, 1] += 6 * np.sin(t)
    return x


def judged(x: np.ndarray, ids: np.ndarray, k: int):
    """Valleys around known clusters, with two random halves."""
    order = np.random.default_rng(0).permutation(len(x))
    halves = (order[: len(x) // 2], order[len(x) // 2 :])
    return valleys(x.astype(np.float32), halves, (ids, ids), k, seed=0)


def test_the_p_value_is_that_of_a_binomial_test() -> None:
    share = DEPTH / (1 + DEPTH)
    expected = max(binom.cdf(2, 11, share), binom.cdf(2, 14, share))
    assert p_of_counts(9, 2, 12) == pytest.approx(expected)
    assert p_of_counts(9, 9, 12) > 0.5
    assert p_of_counts(0, 3, 12) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_one_shape_is_one(shape: str) -> None:
    """On the code without valleys, five of these seven were seen as two or more."""
    for seed in range(2):
        x = torch.from_numpy(SHAPES[shape](np.random.default_rng(seed))).float()
        assert recover(x, ONE, "auto", seed=seed).k == (1,)
        cut = recover(x, ONE, 2, seed=seed).classes[0]
        assert not cut.distinct
        assert min(cut.valleys) > VALLEY


@pytest.mark.parametrize(
    ("distance", "share"),
    [(4, 0.5), (6, 0.5), (6, 0.1), (12, 0.02)],
    ids=["4 sigma", "6 sigma", "a tenth", "a fiftieth"],
)
def test_two_planted_clusters_are_found_and_distinct(distance: float, share: float) -> None:
    """Equal shares turned the unequal ones down before, and half of those at 4 sigma."""
    rng = np.random.default_rng(0)
    fine = torch.from_numpy(rng.uniform(size=1000) < share)
    x = noise(rng)
    x[:, 0] += distance * fine.numpy()
    features = torch.from_numpy(x).float()
    for k in ("auto", 2):
        found = recover(features, ONE, k)
        assert found.k == (2,)
        assert found.classes[0].distinct
        right = (found.ids.bool() == fine).float().mean()
        assert max(right, 1 - right) > 0.94


@pytest.mark.parametrize(("n", "share"), [(600, 0.15), (1000, 0.1)])
def test_a_rare_cluster_is_found_among_many_axes(n: int, share: float) -> None:
    """Halves held too few of its samples to find it in 32 axes, and to show its valley."""
    rng = np.random.default_rng(0)
    rare = rng.uniform(size=n) < share
    x = noise(rng, 32)[:n]
    x[:, 0] += 6 * rare
    found = recover(torch.from_numpy(x).float(), ONE[:n], "auto")
    assert found.classes[0].distinct
    right = np.mean(found.ids.numpy() == rare)
    assert max(right, 1 - right) > 0.98


def test_one_poor_cluster_is_not_covered_by_an_easy_split() -> None:
    """Two far apart, and one of them cut in two at random places of its own."""
    rng = np.random.default_rng(2)
    x = noise(rng)
    ids = np.repeat([0, 1, 2], [500, 250, 250])
    x[ids == 0, 0] += 12
    x[500:] = x[500:][np.argsort(x[500:, 1])]
    far, *pieces = judged(x, ids, 3).p
    assert far <= VALLEY
    assert min(pieces) > VALLEY


def test_too_few_samples_tell_nothing() -> None:
    rng = np.random.default_rng(3)
    assert judged(noise(rng)[:12], np.arange(12) % 2, 2).p.tolist() == [1, 1]
    assert judged(noise(rng)[:12], np.zeros(12, dtype=np.int64), 1).p.tolist() == [1]
    same, ids = np.zeros((200, 3)), np.arange(200) % 2
    assert judged(same, ids, 2).p.tolist() == [1, 1]
    same[:, 0] = ids  # two points
    assert judged(same, ids, 2).p.max() <= VALLEY


def test_copies_of_samples_are_one_sample() -> None:
    """Copies are nearest neighbours of each other, and hid clusters 8 standard deviations apart."""
    rng = np.random.default_rng(5)
    fine = np.arange(100) % 2
    x = rng.normal(size=(100, 8))
    x[:, 0] += 8 * fine
    copies = torch.from_numpy(np.repeat(x, 20, axis=0)).float()
    found = recover(copies, torch.zeros(2000, dtype=torch.int64), 2)
    truth = torch.from_numpy(np.repeat(fine, 20)).long()
    assert (
        max(float((found.ids == truth).float().mean()), float((found.ids != truth).float().mean()))
        == 1
    )
    unstructured = torch.from_numpy(np.repeat(rng.normal(size=(100, 8)), 20, axis=0)).float()
    assert not recover(unstructured, torch.zeros(2000, dtype=torch.int64), 2).classes[0].distinct


def test_clusters_are_none_of_a_sign_behind_one_huge_column() -> None:
    rng = np.random.default_rng(6)
    fine = np.arange(1000) % 2
    x = noise(rng) * np.r_[300, np.ones(15)]
    x[:, 1] += 8 * fine
    found = recover(torch.from_numpy(x).float(), ONE, 2)
    right = (found.ids == torch.from_numpy(fine)).float().mean()
    assert max(right, 1 - right) > 0.99


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(4)
    x, ids = noise(rng), rng.integers(0, 3, 1000)
    assert judged(x, ids, 3).p.tolist() == judged(x, ids, 3).p.tolist()


@pytest.mark.parametrize(("n", "seed"), [(40, 0), (700, 3)])
def test_trees_are_those_of_scikit_learn(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, others = rng.normal(size=(n, 9)), rng.normal(size=(30, 9))
    y = np.abs(x[:, 0]) + 0.1 * rng.normal(size=n)
    forest = ExtraTreesRegressor(
        trees.TREES,
        min_samples_leaf=trees.LEAF,
        max_features=trees.FEATURES,
        bootstrap=True,
        oob_score=True,
        random_state=seed,
    ).fit(x, y)
    ours = trees.Trees.fitted(x, y, seed)
    np.testing.assert_allclose(ours.predict(others), forest.predict(others), rtol=1e-12)
    assert ours.r2 == pytest.approx(forest.oob_score_, rel=1e-12)


def test_threads_take_turns_with_the_trees(monkeypatch) -> None:
    """scikit-learn's trees change the warning filters of the process while they work."""
    working = [0]
    most = [0]

    def in_turn(method):
        def call(self, *args, **kwargs):
            working[0] += 1
            most[0] = max(most[0], working[0])
            time.sleep(0.001)
            result = method(self, *args, **kwargs)
            working[0] -= 1
            return result

        return call

    class Counted(ExtraTreeRegressor):
        fit = in_turn(ExtraTreeRegressor.fit)

    monkeypatch.setattr(trees, "ExtraTreeRegressor", Counted)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 6)).astype(np.float32)
    ids = rng.integers(2, size=len(points))
    points[:, 0] += 4 * ids  # a valley, and no void
    rows = rng.permutation(len(points))

    def look(seed: int) -> Valleys:
        return valleys(points, (rows[:1500], rows[1500:]), (ids, ids), 2, seed)

    with ThreadPoolExecutor(4) as pool:
        assert all(found.p.max() < 1 for found in pool.map(look, range(4)))
    assert most[0] == 1
