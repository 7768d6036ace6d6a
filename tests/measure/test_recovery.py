"""Recovery on planted classes and on a network trained on coarse digits."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from torch import nn

from collapse_lit.measure import cluster_and_linear_probe, fit_probe, match_clusters, recover


def planted(
    counts, d=24, distance=7.0, sigma=1.0, offset=0.0, stretch=1.0, seed=0
):  # fmt: skip
    """Coarse classes of Gaussian fine classes; ``counts[c]`` lists the fine classes' sizes."""
    rng = np.random.default_rng(seed)
    scales = np.logspace(0, np.log10(stretch), d)
    features, coarse, fine = [], [], []
    for c, sizes in enumerate(counts):
        centre = 3 * rng.normal(size=d)
        means = np.linalg.qr(rng.normal(size=(d, len(sizes))))[0].T * distance / np.sqrt(2)
        for mean, n in zip(means, sizes, strict=True):
            residuals = (mean + rng.normal(size=(n, d))) * scales * sigma
            features.append(centre + residuals + offset)
            coarse += [c] * n
            fine += [len(set(fine))] * n
    order = rng.permutation(len(coarse))
    x = torch.from_numpy(np.concatenate(features)[order]).float()
    return x, torch.tensor(coarse)[order], torch.tensor(fine)[order]


def score(found, coarse, fine):
    fine_to_coarse = torch.zeros(int(fine.max()) + 1, dtype=torch.int64)
    fine_to_coarse[fine] = coarse
    return match_clusters(found.ids, fine, found.cluster_to_coarse, fine_to_coarse)


@pytest.fixture(scope="module")
def digits():
    """Features of a small network trained on digits mod 5: (features, coarse, fine) twice."""
    data = load_digits()
    x, fine = torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target)
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU())
    head = nn.Linear(32, 5)
    optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(15):
        for rows in torch.randperm(1400).split(64):
            loss = nn.functional.cross_entropy(head(body(x[rows])), fine[rows] % 5)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        features = body(x)
    return (features[:1400], fine[:1400]), (features[1400:], fine[1400:])


@pytest.mark.parametrize(
    "planting",
    [
        {},
        {"sigma": 1e-3, "offset": 10.0},
        {"stretch": 30.0},
        {"sigma": 1e-3, "offset": 10.0, "stretch": 30.0, "distance": 10.0},
    ],
    ids=["isotropic", "near collapse", "stretched", "stretched near collapse"],
)
def test_planted_fine_classes_are_recovered(planting):
    x, coarse, fine = planted([[800, 800], [900, 400], [700, 600]], **planting)
    found = recover(x, coarse, 2)
    assert score(found, coarse, fine).acc > 0.97
    assert found.stability > 0.8


def test_the_choice_beats_raw_kmeans_where_a_nuisance_is_longer():
    x, coarse, fine = planted([[800, 800], [800, 800]], d=16)
    nuisance = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(0))
    x = torch.cat([x, 40 * nuisance], dim=1)
    assert score(recover(x, coarse, 2, space="raw/kmeans"), coarse, fine).acc < 0.6
    assert score(recover(x, coarse, 2), coarse, fine).acc > 0.97


def test_digits_are_recovered_and_probed_on_held_out_images(digits):
    (x, fine), (x_test, fine_test) = digits
    found = recover(x, fine % 5, 2)
    matching = match_clusters(found.ids, fine, found.cluster_to_coarse, torch.arange(10) % 5)
    raw = recover(x, fine % 5, 2, space="raw/kmeans")
    raw_matching = match_clusters(raw.ids, fine, raw.cluster_to_coarse, torch.arange(10) % 5)
    assert matching.acc > 0.88
    assert matching.acc > raw_matching.acc
    predicted = matching.cluster_to_fine[cluster_and_linear_probe(x, found.ids, x_test)]
    ceiling = (fit_probe(x, fine, 10).predict(x_test) == fine_test).double().mean()
    assert (predicted == fine_test).double().mean() > ceiling - 0.12


def test_confidence_is_higher_where_clusters_are_right(digits):
    (x, fine), _ = digits
    found = recover(x, fine % 5, 2)
    matching = match_clusters(found.ids, fine, found.cluster_to_coarse, torch.arange(10) % 5)
    right = matching.cluster_to_fine[found.ids] == fine
    assert found.confidence[right].mean() > found.confidence[~right].mean() + 0.05
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1
    # with two clusters the runner-up has the rest
    assert torch.allclose(found.margin, 2 * found.confidence - 1, atol=1e-5)


def test_a_number_for_each_class_and_numbering():
    x, coarse, fine = planted([[400], [300, 300, 300], [400, 400]])
    found = recover(x, coarse, [1, 3, 2])
    assert found.k == (1, 3, 2)
    assert found.cluster_to_coarse.tolist() == [0, 1, 1, 1, 2, 2]
    assert torch.equal(found.cluster_to_coarse[found.ids], coarse)
    assert found.sizes.tolist() == torch.bincount(found.ids, minlength=6).tolist()
    assert score(found, coarse, fine).acc > 0.97


def test_auto_finds_the_planted_numbers_and_one_for_a_gaussian():
    sizes = [[700], [400] * 2, [250] * 3, [200] * 4, [150] * 6]
    x, coarse, _ = planted(sizes, d=12, distance=8.0)
    assert recover(x, coarse, "auto").k == (1, 2, 3, 4, 6)


def test_no_sub_structure_is_told_from_sub_structure():
    x, coarse, _ = planted([[1500], [750, 750]])
    found = recover(x, coarse, 2)
    assert found.separation_per_class[0] < 0 < found.separation_per_class[1]
    assert found.stability_per_class[0] < 0.4
    assert found.stability_per_class[1] > 0.95
    assert found.silhouette_per_class[1] > found.silhouette_per_class[0]


def test_it_is_deterministic_and_ignores_the_order_of_samples(digits):
    (x, fine), _ = digits
    index = torch.arange(len(x))
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    once = recover(x, fine % 5, 2, seed=3, index=index)
    again = recover(x, fine % 5, 2, seed=3)
    other = recover(x[shuffled], fine[shuffled] % 5, 2, seed=3, index=index[shuffled])
    assert torch.equal(once.ids, again.ids)
    assert torch.equal(once.confidence, again.confidence)
    assert torch.equal(once.ids[shuffled], other.ids)
    assert once.space == other.space


def test_the_picture_shows_the_clusters_apart():
    x, coarse, _ = planted([[600, 600], [400, 400, 400]])
    found = recover(x, coarse, [2, 3])
    for c in (0, 1):
        xy, ids = found.xy[coarse == c].numpy(), found.ids[coarse == c].numpy()
        centres = np.stack([xy[ids == j].mean(axis=0) for j in np.unique(ids)])
        nearest = ((xy[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert adjusted_rand_score(ids, nearest) > 0.95


@pytest.mark.parametrize(
    "name", ["pca4/kmeans", "raw/gmm", "white5/gmm", "unit-white8/kmeans", "unit-raw/kmeans"]
)
def test_a_forced_space_is_used_and_recorded(name):
    x, coarse, fine = planted([[300, 300], [300, 300]], d=12)
    found = recover(x, coarse, 2, space=name)
    assert found.space == (name, name)
    assert score(found, coarse, fine).acc > 0.9


def test_the_recorded_rank_is_the_one_used():
    x, coarse, _ = planted([[80, 80], [400, 400]])
    assert [name.rpartition("white")[2] for name in recover(x, coarse, 2).space] == [
        "10/gmm",
        "24/gmm",
    ]


def test_lopsided_clusters_are_warned_of():
    x, coarse, _ = planted([[970, 30], [500, 500]], distance=14.0)
    (warning,) = recover(x, coarse, 2).warnings
    assert warning.startswith("coarse class 0")


def test_classes_without_variation_and_tiny_classes_have_a_defined_result():
    x, coarse, _ = planted([[50, 50], [2], [3]])
    x[coarse == 0] = 1.0
    found = recover(x, coarse, [2, 1, 3])
    assert found.sizes[:2].tolist() == [100, 0]
    assert found.stability_per_class[0] == 0
    assert "empty" in found.warnings[0]
    assert torch.isfinite(found.xy).all()


def test_mistakes_name_the_class():
    x, coarse, _ = planted([[50, 50], [5]])
    with pytest.raises(ValueError, match="coarse class 1: 5 samples are too few for 6 clusters"):
        recover(x, coarse, 6)
    with pytest.raises(ValueError, match="coarse class 2 has no samples"):
        recover(x, coarse, 2, num_coarse=3)
    with pytest.raises(ValueError, match="coarse class 1: 1 samples have NaN or infinite"):
        recover(x.index_fill(0, torch.where(coarse == 1)[0][:1], torch.inf), coarse, 2)
    with pytest.raises(ValueError, match="k has 3 numbers for 2 coarse classes"):
        recover(x, coarse, [1, 2, 3])
    with pytest.raises(ValueError, match=r"lie outside 0\.\.0"):
        recover(x, coarse, 2, num_coarse=1)
    with pytest.raises(ValueError, match="occurs twice"):
        recover(x, coarse, 2, index=torch.zeros(len(x), dtype=torch.int64))
    with pytest.raises(ValueError, match="'auto'"):
        recover(x, coarse, "many")
    with pytest.raises(ValueError, match="needs a whitened space"):
        recover(x, coarse, "auto", space="raw/kmeans")
    with pytest.raises(ValueError, match="needs a whitened space"):
        recover(x, coarse, [2, None], space="raw/kmeans")
    with pytest.raises(ValueError, match="no samples"):
        recover(x[:0], coarse[:0], 2)
    for seed in (-1, 0.5):
        with pytest.raises(ValueError, match=f"seed must be a whole number, 0 or more, not {seed}"):
            recover(x, coarse, 1, seed=seed)


def test_the_import_needs_neither_lightning_nor_wandb_nor_faiss():
    code = (
        "import sys, collapse_lit.measure; "
        "print([m for m in ('lightning', 'wandb', 'faiss') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]"
