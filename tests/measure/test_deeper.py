"""Finer splits that an easy split hides are found by k="auto" itself."""

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lit.measure import match_clusters, recover
from collapse_lit.measure.recovery.clusters import ClassClusters

NEAR, FAR = 4.0, 30.0  # standard deviations


def blobs(kinds: int = 3, each: int = 300, d: int = 16) -> tuple[Tensor, Tensor]:
    """Features (n, d) of one class, and the kinds (n,): 0 and 1 lie near each other, 2 far away."""
    kind = np.random.default_rng(1).permutation(np.repeat(np.arange(kinds), each))
    x = np.random.default_rng(0).normal(size=(len(kind), d))
    x[:, 0] += NEAR * (kind == 1)
    x[:, 1] += FAR * (kind == 2)
    return torch.from_numpy(x).float(), torch.from_numpy(kind)


def clusters_of(x: Tensor, k: int | str = "auto") -> ClassClusters:
    return recover(x, torch.zeros(len(x), dtype=torch.int64), k).classes[0]


def test_two_near_kinds_are_told_apart_beside_a_far_one() -> None:
    x, kind = blobs()
    found = clusters_of(x)
    assert found.k == 3
    assert found.distinct
    one_class = torch.zeros(3, dtype=torch.int64)
    assert match_clusters(found.ids, kind, one_class, one_class).acc > 0.95
    far = int(found.ids[kind == 2].mode().values)
    near = [cluster for cluster in range(3) if cluster != far]
    assert found.parents[near[0]] == found.parents[near[1]] != found.parents[far]
    first = [int(torch.where(found.ids == cluster)[0][0]) for cluster in range(3)]
    assert first == sorted(first)


def test_certainty_counts_both_divisions() -> None:
    x, kind = blobs()
    found = clusters_of(x)
    assert (found.margin <= found.confidence).all()
    assert found.confidence[kind == 2].min() > 0.99
    between = (kind != 2) & ((x[:, 0] - NEAR / 2).abs() < 0.05)  # half-way between the near kinds
    assert found.confidence[between].mean() < 0.9
    assert found.margin[between].mean() < 0.7


@pytest.mark.parametrize(
    ("what", "k", "expected"),
    [
        ("a far kind alone hides nothing", "auto", 2),
        ("a number that is given is kept", 2, 2),
    ],
)
def test_a_cluster_without_kinds_stays_whole(what: str, k: int | str, expected: int) -> None:
    x, kind = blobs()
    rows = kind != 1 if k == "auto" else kind >= 0
    found = clusters_of(x[rows], k)
    assert found.k == expected
    assert found.parents == (0, 1)


def test_copies_of_samples_share_their_cluster() -> None:
    x, _ = blobs()
    once, twice = clusters_of(x), clusters_of(x.repeat(2, 1))
    assert torch.equal(twice.ids, once.ids.repeat(2))
    assert twice.parents == once.parents
