"""Labels of every integer type work; other types are refused with a clear message."""

import pytest
import torch

from collapse_lit.measure import (
    LabelledFeatures,
    cluster_and_linear_probe,
    fit_probe,
    recover,
    score_recovery,
)
from collapse_lit.measure.collapse.spread import relative_spread

GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(120, 6, generator=GENERATOR) + 5 * (torch.arange(120) % 2)[:, None]
LABELS = torch.arange(120) % 2


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_any_integer_kind_means_the_same(dtype) -> None:
    labels = LABELS.to(dtype)
    expected = cluster_and_linear_probe(FEATURES, LABELS, FEATURES)
    assert cluster_and_linear_probe(FEATURES, labels, FEATURES).equal(expected)
    assert fit_probe(FEATURES, labels, 2).predict(FEATURES).equal(expected)
    assert recover(FEATURES, labels, 1).ids.equal(recover(FEATURES, LABELS, 1).ids)


def test_features_may_come_from_a_network_with_their_gradient() -> None:
    tracked = torch.nn.functional.linear(FEATURES, torch.eye(6).requires_grad_())
    train, plain = (LabelledFeatures(x, LABELS, LABELS) for x in (tracked, FEATURES))
    found, expected = (recover(x, LABELS, 1) for x in (tracked, FEATURES))
    assert found.ids.equal(expected.ids)
    assert score_recovery(found, train, train) == score_recovery(expected, plain, plain)
    answer = cluster_and_linear_probe(tracked, LABELS, tracked)
    assert answer.equal(cluster_and_linear_probe(FEATURES, LABELS, FEATURES))
    assert relative_spread(tracked, LABELS, 2).equal(relative_spread(FEATURES, LABELS, 2))


def test_labels_that_are_no_integers_are_refused_with_their_kind() -> None:
    for call in (
        lambda labels: recover(FEATURES, labels),
        lambda labels: fit_probe(FEATURES, labels, 2),
        lambda labels: cluster_and_linear_probe(FEATURES, labels, FEATURES),
    ):
        with pytest.raises(ValueError, match=r"must be integers, not torch\.float32"):
            call(LABELS.float())


@pytest.mark.parametrize("k", [2.0, [2.7, 1]])
def test_a_number_of_clusters_is_whole(k) -> None:
    with pytest.raises(ValueError, match="k must be whole numbers"):
        recover(FEATURES, LABELS, k)
