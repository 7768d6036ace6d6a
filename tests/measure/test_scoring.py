"""The headline without Lightning: by hand, and as its docstring shows it."""

import doctest

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from collapse_lit.measure import (
    LabelledFeatures,
    cluster_and_linear_probe,
    match_clusters,
    random_clusters,
    recover,
    score_recovery,
)
from collapse_lit.measure.recovery import scoring


def planted(n: int, seed: int) -> LabelledFeatures:
    """Six fine classes in three coarse ones; the pairs overlap a little."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.arange(n) % 6
    x = 1.5 * torch.eye(12)[fine] + 0.5 * torch.randn(n, 12, generator=generator)
    return LabelledFeatures(x, fine % 3, fine)


def test_the_docstring_says_what_comes_out() -> None:
    assert doctest.testmod(scoring).failed == 0
    assert doctest.testmod(scoring).attempted >= 7


def test_the_headline_is_a_probe_on_clusters_matched_to_fine_classes() -> None:
    train, test = planted(900, 0), planted(300, 1)
    found = recover(train.features, train.coarse, k=2)
    scores, of_coarse = score_recovery(found, train, test)
    to_coarse = torch.arange(6) % 3
    matching = match_clusters(found.ids, train.fine, found.cluster_to_coarse, to_coarse)
    answers = cluster_and_linear_probe(train.features, found.ids, test.features)
    right = (matching.cluster_to_fine[answers] == test.fine).double()
    assert scores["clp_test"] == float(right.mean())
    inside = found.cluster_to_coarse[answers] == test.coarse
    assert scores["clp_test_inside"] == float(right[inside].mean())
    assert 0.5 < scores["floor"] + 0.2 < scores["clp_test"] <= scores["probe_test"] + 0.02
    assert scores["chance"] == 0.5
    assert of_coarse == matching.acc_of_coarse
    plain = sum(
        best_of_two(KMeans(2, n_init=10, random_state=0).fit_predict(x), y % 2)
        for x, y in (
            (train.features[train.coarse == c], train.fine[train.coarse == c] // 3)
            for c in range(3)
        )
    )
    assert scores["acc_raw"] == pytest.approx(plain / 900, abs=0.02)


def test_the_floor_is_the_mean_of_draws_of_random_clusters() -> None:
    train, test = planted(900, 0), planted(300, 1)
    found, to_coarse = recover(train.features, train.coarse, k=2), torch.arange(6) % 3
    accuracies = []
    for draw in (6, 7, 8):  # seed 2: three draws that no other seed has
        ids = random_clusters(torch.arange(900), train.coarse, 2, draw)
        matching = match_clusters(ids, train.fine, found.cluster_to_coarse, to_coarse)
        answers = cluster_and_linear_probe(train.features, ids, test.features)
        accuracies.append((matching.cluster_to_fine[answers] == test.fine).double().mean())
    scores, _ = score_recovery(found, train, test, seed=2)
    assert scores["floor"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert scores["floor_std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert scores["floor_std"] > 0


def best_of_two(ids, truth: torch.Tensor) -> int:
    """Samples right under the better of the two ways to match two clusters."""
    same = int((torch.as_tensor(ids) == truth).sum())
    return max(same, len(truth) - same)


def test_without_held_out_samples_their_scores_are_left_out() -> None:
    train = planted(300, 0)
    scores, _ = score_recovery(recover(train.features, train.coarse, k=2), train)
    assert set(scores) == {"acc", "acc_raw", "acc_macro", "nmi", "ari"}


def test_fine_classes_have_to_lie_in_one_coarse_class() -> None:
    train = planted(300, 0)
    found = recover(train.features, train.coarse, k=2)
    fine = torch.where(torch.arange(300) == 0, 1, train.fine)  # of another coarse class
    astray = LabelledFeatures(train.features, train.coarse, fine)
    with pytest.raises(ValueError, match="different coarse labels"):
        score_recovery(found, astray)
