"""Matching and its scores against scikit-learn; the random floor."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from collapse_lit.measure import match_clusters, random_clusters

FINE_TO_COARSE = torch.tensor([0, 1, 0, 1, 0])
CLUSTER_TO_COARSE = torch.tensor([0, 0, 0, 1, 1])


def labelled(n=3000, seed=0):
    """Fine labels and clusters that agree more often than not, inside the right coarse class."""
    rng = np.random.default_rng(seed)
    fine = torch.from_numpy(rng.choice(5, size=n, p=[0.3, 0.1, 0.2, 0.3, 0.1]))
    right = torch.tensor([2, 4, 0, 3, 1])[fine]
    wrong = torch.where(
        FINE_TO_COARSE[fine] == 0,
        torch.from_numpy(rng.integers(0, 3, n)),
        torch.from_numpy(rng.integers(3, 5, n)),
    )
    return torch.where(torch.from_numpy(rng.random(n) < 0.6), right, wrong), fine


def test_the_match_is_the_best_of_all_one_to_one_matches():
    ids, fine = labelled()
    best = max(
        (torch.tensor([*first, *second])[ids] == fine).double().mean().item()
        for first in itertools.permutations([0, 2, 4])
        for second in itertools.permutations([1, 3])
    )
    matching = match_clusters(ids, fine, CLUSTER_TO_COARSE, FINE_TO_COARSE)
    assert matching.acc == pytest.approx(best)
    hits = matching.cluster_to_fine[ids] == fine
    assert matching.acc == pytest.approx(hits.double().mean().item())
    by_class = [hits[fine == f].double().mean().item() for f in range(5)]
    assert matching.acc_macro == pytest.approx(np.mean(by_class))
    by_coarse = [hits[FINE_TO_COARSE[fine] == c].double().mean().item() for c in range(2)]
    assert matching.acc_of_coarse == pytest.approx(by_coarse)
    assert matching.contingency[2, 0] == ((ids == 2) & (fine == 0)).sum()


def test_nmi_and_ari_are_scikit_learns_inside_each_coarse_class():
    ids, fine = labelled()
    matching = match_clusters(ids, fine, CLUSTER_TO_COARSE, FINE_TO_COARSE)
    inside = [(ids[FINE_TO_COARSE[fine] == c], fine[FINE_TO_COARSE[fine] == c]) for c in (0, 1)]
    nmi = np.mean([normalized_mutual_info_score(f, i) for i, f in inside])
    ari = np.mean([adjusted_rand_score(f, i) for i, f in inside])
    assert matching.nmi == pytest.approx(nmi)
    assert matching.ari == pytest.approx(ari)


def test_knowing_the_coarse_class_alone_scores_zero():
    ids = random_clusters(torch.arange(20_000), torch.arange(20_000) % 2, 2, seed=0)
    fine = torch.arange(20_000) % 4
    matching = match_clusters(ids, fine, torch.tensor([0, 0, 1, 1]), torch.arange(4) % 2)
    assert matching.acc == pytest.approx(0.5, abs=0.02)
    assert abs(matching.ari) < 0.01
    assert matching.nmi < 0.01


def test_more_clusters_than_fine_classes_leaves_some_unmatched():
    ids = torch.tensor([0, 0, 0, 1, 2, 2])
    fine = torch.tensor([0, 0, 0, 0, 1, 1])
    matching = match_clusters(ids, fine, torch.zeros(3).long(), torch.zeros(2).long())
    assert matching.cluster_to_fine.tolist() == [0, -1, 1]
    assert matching.acc == pytest.approx(5 / 6)


def test_a_cluster_of_another_coarse_class_matches_nothing():
    # a probe can put a test sample into a cluster of the wrong coarse class: that is an error
    ids, fine = torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1])
    matching = match_clusters(ids, fine, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert matching.acc == pytest.approx(0.75)


def test_out_of_range_and_empty_inputs_raise():
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"fine label outside 0\.\.1"):
        match_clusters(torch.tensor([0]), torch.tensor([2]), one, torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="no samples"):
        match_clusters(one[:0], one[:0], one, one)
    with pytest.raises(ValueError, match=r"must have the same shape"):
        match_clusters(one, torch.zeros(2).long(), one, one)


def test_random_clusters_depend_on_seed_and_index_only():
    index = torch.randperm(999, generator=torch.Generator().manual_seed(0))
    coarse = index % 3
    ids = random_clusters(index, coarse, [2, 1, 4], seed=5)
    order = index.argsort()
    again = random_clusters(index[order], coarse[order], [2, 1, 4], seed=5)
    assert torch.equal(ids[order], again)
    assert not torch.equal(ids, random_clusters(index, coarse, [2, 1, 4], seed=6))
    for c, clusters in ((0, {0, 1}), (1, {2}), (2, {3, 4, 5, 6})):
        assert set(ids[coarse == c].tolist()) == clusters


def test_random_clusters_are_even():
    index = torch.arange(40_000)
    counts = torch.bincount(random_clusters(index, index % 2, 4, seed=1))
    assert torch.all((counts - 5000).abs() < 250)  # 3.8 standard deviations
