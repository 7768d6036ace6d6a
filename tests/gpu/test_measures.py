"""A GPU measures what the CPU measures."""

import numpy as np
import pytest
import torch

from collapse_lit.measure import (
    fit_probe,
    hierarchical_collapse,
    match_clusters,
    neural_collapse,
    recover,
)
from collapse_lit.measure import neighbours as faiss_indices
from collapse_lit.measure.clustering import kmeans
from collapse_lit.measure.neighbours import load_faiss, nearest_neighbours

COARSE = 3


@pytest.fixture(scope="module")
def planted():
    """Features (n, 64), coarse and fine labels (n,): two fine classes in each of three."""
    generator = torch.Generator().manual_seed(0)
    fine = torch.arange(6000) % (2 * COARSE)
    means = torch.randn(2 * COARSE, 64, generator=generator)
    features = 10 + 0.05 * (1.3 * means[fine] + torch.randn(6000, 64, generator=generator))
    return features, fine % COARSE, fine


def test_collapse(planted, device) -> None:
    features, coarse, fine = planted
    weight = torch.randn(COARSE, 64, generator=torch.Generator().manual_seed(1))
    bias = torch.zeros(COARSE)
    here = neural_collapse(features, coarse, COARSE, weight, bias)
    on_device = [part.to(device) for part in (features, coarse)]
    there = neural_collapse(*on_device, COARSE, weight.to(device), bias.to(device))
    assert there == pytest.approx(here, rel=1e-6)
    levels = torch.arange(2 * COARSE) % COARSE
    both = hierarchical_collapse(features, fine, levels)
    found = hierarchical_collapse(features.to(device), fine.to(device), levels)
    assert found.coarse == pytest.approx(both.coarse, rel=1e-6)
    assert found.fine == pytest.approx(both.fine, rel=1e-6)


@pytest.mark.parametrize("k", [2, "auto"])
def test_recovery(planted, device, k) -> None:
    features, coarse, fine = planted
    here = recover(features, coarse, k)
    there = recover(features.to(device), coarse.to(device), k)
    assert there.ids.device.type == device.type
    assert there.k == here.k
    accuracies = [
        match_clusters(
            found.ids.cpu(), fine, found.cluster_to_coarse, torch.arange(2 * COARSE) % COARSE
        ).acc
        for found in (here, there)
    ]
    assert accuracies[0] > 0.95
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.002)
    assert there.stability == pytest.approx(here.stability, abs=0.01)


def test_recovery_with_matrix_products_in_tf32(planted, device) -> None:
    """Lightning advises this setting for training; measures must not feel it."""
    features, coarse, _ = planted
    before = torch.get_float32_matmul_precision()
    found = recover(features.to(device), coarse.to(device), 2)
    torch.set_float32_matmul_precision("high")
    try:
        again = recover(features.to(device), coarse.to(device), 2)
    finally:
        torch.set_float32_matmul_precision(before)
    assert (found.ids == again.ids).double().mean() > 0.999


def test_neighbours_and_kmeans(device, monkeypatch) -> None:
    """Same neighbours and the same k-means, on the device itself."""
    if device.type == "cuda":
        assert hasattr(load_faiss(), "StandardGpuResources"), "faiss-gpu is not installed"
    monkeypatch.setattr(faiss_indices, "GPU_WORTH", 1)
    points = np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float32)
    points[:1500, 0] += 6
    near, nearest = nearest_neighbours(points, 10), nearest_neighbours(points, 10, device)
    same = [len(set(a) & set(b)) / 10 for a, b in zip(near.tolist(), nearest.tolist(), strict=True)]
    assert np.mean(same) > 0.999
    assert nearest_neighbours(points, 10, device).tolist() == nearest.tolist()
    ids = kmeans(points, 2, seed=0, device=device)
    assert max(np.mean(ids[:1500] == c) for c in (0, 1)) > 0.99


def test_probe(planted, device) -> None:
    features, _, fine = planted
    here = fit_probe(features, fine, 2 * COARSE)
    there = fit_probe(features.to(device), fine.to(device), 2 * COARSE)
    assert there.loss == pytest.approx(here.loss, rel=1e-3)
    same = there.predict(features.to(device)).cpu() == here.predict(features)
    assert same.double().mean() > 0.998
