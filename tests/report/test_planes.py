"""Scatters of several epochs: laid onto each other, coloured alike, and few enough for a page."""

import numpy as np
import pytest

from collapse_lit.report.planes import MISSING, evenly, planes_through, renumbered, turned
from collapse_lit.report.residuals import MOST_EPOCHS, MOST_POINTS, epochs_kept

RNG = np.random.default_rng(0)


def snapshot(xy: np.ndarray, cluster: np.ndarray, index: np.ndarray, coarse: int = 0) -> dict:
    return {
        "xy": xy.astype(np.float32),
        "cluster": cluster,
        "fine": cluster,
        "index": index,
        "coarse": np.full(len(xy), coarse),
    }


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_plane_is_turned_and_reflected_back(mirror: int) -> None:
    xy = RNG.normal(size=(30, 2)) * [3, 1]
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]]) @ np.diag([1, mirror])
    other = xy @ turn
    other[:3] = np.nan  # samples that one epoch lacks
    assert np.allclose(turned(other, xy)[3:], xy[3:])
    assert np.isnan(turned(other, xy)[:3]).all()


def test_a_plane_without_samples_in_common_keeps_its_shape() -> None:
    xy, nowhere = RNG.normal(size=(5, 2)), np.full((5, 2), np.nan)
    assert np.allclose(np.linalg.norm(turned(xy, nowhere), axis=1), np.linalg.norm(xy, axis=1))


def test_clusters_keep_the_number_that_most_of_their_samples_have() -> None:
    like = np.array([4, 4, 4, 5, 5, 5, MISSING])
    found = renumbered(np.array([9, 9, 9, 8, 8, 9, 8]), like, free=6)
    assert found.tolist() == [4, 4, 4, 5, 5, 4, 5]


def test_a_further_cluster_takes_a_free_number() -> None:
    like = np.array([0, 0, 0, 1, 1, 1])
    assert renumbered(np.array([2, 2, 1, 0, 0, 0]), like, free=7).tolist() == [0, 0, 7, 1, 1, 1]
    again = renumbered(np.array([5, 5, 3, 4, 4, 4]), np.array([0, 0, 7, 1, 1, 1]), free=7)
    assert again.tolist() == [0, 0, 7, 1, 1, 1]
    fewer = renumbered(np.array([3, 3, 3, 3, MISSING, 3]), like, free=7)
    assert fewer.tolist() == [0, 0, 0, 0, MISSING, 0]


def test_epochs_are_laid_onto_the_one_that_is_shown() -> None:
    index, cluster = np.arange(40) * 7, np.arange(40) % 2
    xy = RNG.normal(size=(40, 2)) + 6 * cluster[:, None] * [1, 0]
    early = snapshot(-3 * xy[::-1] + 50, 1 - cluster[::-1], index[::-1])
    shown = snapshot(xy, cluster, index)
    late = snapshot((xy @ [[0, 1], [1, 0]])[5:], 1 - cluster[5:], index[5:])
    (planes,) = planes_through([early, shown, late], 1)
    assert planes.rows.tolist() == list(range(40))
    assert np.allclose(planes.xy[0], planes.xy[1], atol=1e-5)
    assert np.isnan(planes.xy[2, :5]).all()
    near = np.linalg.norm(planes.xy[2, 5:] - planes.xy[1, 5:], axis=1)
    assert near.max() < 0.2
    assert planes.cluster[0].tolist() == planes.cluster[1].tolist() == cluster.tolist()
    assert planes.cluster[2].tolist() == [MISSING] * 5 + cluster[5:].tolist()
    assert np.isclose(np.square(planes.xy[1]).sum(axis=1).mean(), 1)


def test_an_epoch_with_an_outlier_stays_in_the_box_of_the_one_shown() -> None:
    index, cluster = np.arange(100), np.zeros(100, dtype=np.int64)
    xy = RNG.uniform(-1, 1, size=(100, 2))
    far = xy.copy()
    far[0] = [30, 30]
    (planes,) = planes_through([snapshot(xy, cluster, index), snapshot(far, cluster, index)], 0)
    box = np.abs(planes.xy[0]).max(axis=0)
    assert (np.abs(planes.xy[1]).max(axis=0) <= box * 1.1).all()


def test_a_class_that_is_one_point_is_drawn() -> None:
    one = snapshot(np.ones((3, 2)), np.zeros(3, dtype=np.int64), np.arange(3))
    (planes,) = planes_through([one, one], 1)
    assert (planes.xy == 0).all()


def test_further_clusters_of_two_classes_have_numbers_of_their_own() -> None:
    def both(clusters: list[int]) -> dict:
        xy, index = RNG.normal(size=(8, 2)), np.arange(8)
        return snapshot(xy, np.array(clusters), index) | {"coarse": np.repeat([0, 1], 4)}

    first, second = planes_through([both([0] * 4 + [1] * 4), both([0, 0, 1, 1, 2, 2, 3, 3])], 0)
    assert set(first.cluster[1].tolist()) == {0, 2}
    assert set(second.cluster[1].tolist()) == {1, 3}


def test_epochs_are_evenly_kept_with_the_chosen_and_the_last() -> None:
    assert evenly(range(350), 20, 123)[-1] == 349
    few = {"xy": np.zeros((2000, 2)), "index": np.arange(2000)}
    kept = epochs_kept(dict.fromkeys(range(350), few), 123)
    assert {0, 123, 349} <= set(kept)
    assert len(kept) <= MOST_EPOCHS + 1
    many = {"xy": np.zeros((MOST_POINTS // 4, 2)), "index": np.arange(MOST_POINTS // 4)}
    assert len(epochs_kept(dict.fromkeys(range(350), many), 349)) == 4
    assert epochs_kept({3: few, 4: {"xy": few["xy"]}}, 4) == [4]
