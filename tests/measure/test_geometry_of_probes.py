"""The measures that say how well a linear probe can do, against their formulas written out."""

import numpy as np
import pytest
import torch

from collapse_lit.measure import hierarchical_collapse, neural_collapse


@pytest.fixture
def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """Six classes of 9 to 14 samples in 7 dimensions, each with a shape of its own."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.repeat_interleave(torch.arange(6), torch.arange(9, 15))
    shapes = torch.randn(6, 7, 7, generator=generator)
    noise = torch.randn(len(labels), 7, generator=generator)
    means = 4 * torch.randn(6, 7, generator=generator)
    return means[labels] + torch.einsum("nij,nj->ni", shapes[labels], noise), labels


def _along(x: np.ndarray, labels: np.ndarray, i: int, j: int) -> float:
    """Variance of class i along the line to the mean of class j, ÷ the squared distance."""
    mine, theirs = x[labels == i], x[labels == j]
    line = theirs.mean(0) - mine.mean(0)
    return ((mine - mine.mean(0)) @ (line / np.linalg.norm(line))).var() / (line @ line)


def test_directional_cdnv_is_the_variance_along_the_line_between_two_means(samples) -> None:
    x, labels = samples[0].double().numpy(), samples[1].numpy()
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    expected = np.mean([_along(x, labels, i, j) for i, j in pairs])
    found = neural_collapse(*samples, num_classes=6)
    assert found["directional_cdnv"] == pytest.approx(expected, rel=1e-12)
    assert found["directional_cdnv"] < found["cdnv"]  # which is of all directions


def test_levels_and_siblings_agree_with_the_classes_taken_by_themselves(samples) -> None:
    features, fine = samples
    to_coarse = torch.tensor([0, 1, 0, 2, 1, 0])
    both = hierarchical_collapse(features, fine, to_coarse)
    coarse = neural_collapse(features, to_coarse[fine], num_classes=3)
    assert both.coarse["directional_cdnv"] == pytest.approx(coarse["directional_cdnv"], rel=1e-12)
    x, labels = features.double().numpy(), fine.numpy()
    siblings = [
        (i, j) for i in range(6) for j in range(6) if i != j and to_coarse[i] == to_coarse[j]
    ]
    expected = np.mean([_along(x, labels, i, j) for i, j in siblings])
    assert both.fine["directional_cdnv_siblings"] == pytest.approx(expected, rel=1e-12)


def test_a_fine_class_without_siblings_or_samples_has_no_number(samples) -> None:
    features, fine = samples
    alone = hierarchical_collapse(features, fine, torch.arange(6))
    assert np.isnan(alone.fine["directional_cdnv_siblings"])
    empty = hierarchical_collapse(features, fine, torch.tensor([0, 1, 0, 2, 1, 0, 2]))
    assert np.isnan(empty.fine["directional_cdnv"])
    assert np.isfinite(empty.coarse["directional_cdnv"])


def test_rankme_is_the_entropy_of_the_singular_values(samples) -> None:
    x = samples[0].double().numpy()
    singular = np.linalg.svd(x, compute_uv=False)
    p = singular / singular.sum()
    found = neural_collapse(*samples, num_classes=6)
    assert found["rankme"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-12)


def test_collapsed_features_have_the_rank_of_their_means() -> None:
    labels = torch.arange(40) % 4
    corners = torch.eye(8)[labels]
    assert neural_collapse(corners, labels, 4)["rankme"] == pytest.approx(4)
    assert neural_collapse(corners - corners.mean(0), labels, 4)["rankme"] == pytest.approx(3)
    assert neural_collapse(corners, labels, 4)["directional_cdnv"] == 0
