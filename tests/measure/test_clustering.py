"""k-means, where it starts, the separation score and the mixture, on planted clusters."""

import builtins
import sys

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from collapse_lit.measure import neighbours
from collapse_lit.measure.clustering import (
    Lloyd,
    kmeans,
    separation,
)
from collapse_lit.measure.neighbours import nearest_neighbours, remembered_neighbours
from collapse_lit.measure.recovery import candidate
from collapse_lit.measure.recovery import graph_cut as graph
from collapse_lit.measure.recovery.graph_cut import Found, Start, graph_coordinates, search
from collapse_lit.measure.recovery.mixture import mixture_posterior
from collapse_lit.measure.recovery.spaces import Space, coordinates, laid_out


def gaussians(n=1200, d=32, k=3, distance=7.0, seed=0):
    """n points of k isotropic Gaussians whose means are ``distance`` apart."""
    rng = np.random.default_rng(seed)
    means = np.linalg.qr(rng.normal(size=(d, k)))[0].T * distance / np.sqrt(2)
    truth = rng.integers(k, size=n)
    return (means[truth] + rng.normal(size=(n, d))).astype(np.float32), truth


def whitened(points, rank=32, unit=""):
    one = torch.zeros(len(points), dtype=torch.int64)
    space = Space.parse(f"{unit}white{rank}/kmeans")
    return coordinates(torch.from_numpy(points), one, 1, space, None).numpy()


def inertia(points, ids):
    return sum(
        ((points[ids == j] - points[ids == j].mean(axis=0)) ** 2).sum() for j in np.unique(ids)
    )


def test_kmeans_uses_all_points_and_is_as_good_as_scikit_learn():
    points, _ = gaussians(n=6000, d=16, k=2, distance=2.0)
    ours = inertia(points, kmeans(points, 2, seed=0, restarts=5))
    reference = KMeans(2, n_init=5, random_state=0).fit(points).inertia_
    assert ours <= reference * 1.001


def test_kmeans_continues_from_given_clusters():
    points, truth = gaussians()
    assert adjusted_rand_score(Lloyd(points, 3).from_ids(truth).ids, truth) > 0.99


def test_a_cut_of_the_graph_finds_what_restarts_at_full_rank_do_not():
    # the clusters lie apart in one of 32 equally long directions, so the start has to find it
    rng = np.random.default_rng(2)
    truth = rng.integers(2, size=4000)
    points = rng.normal(size=(4000, 32)).astype(np.float32)
    points[:, 17] += 5 * truth
    points = whitened(points)
    restarts = kmeans(points, 2, seed=0, restarts=10)
    found = search(points, 2, seed=0).ids
    assert separation(points, found, 2) > separation(points, restarts, 2)
    assert adjusted_rand_score(truth, found) > 0.9


@pytest.mark.parametrize("sizes", [(500, 500), (900, 100), (400, 300, 100), (1000, 500, 100, 50)])
def test_a_cut_of_the_graph_finds_clusters_of_any_size_beside_outliers(sizes):
    rng = np.random.default_rng(0)
    means = 8 * np.eye(len(sizes), 12)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = means[truth] + rng.normal(size=(len(truth), 12))
    points[:3] += 60  # far from all others: the cheapest cut of all
    found = search(whitened(points.astype(np.float32), rank=12), len(sizes), seed=0).ids
    assert adjusted_rand_score(truth[3:], found[3:]) > 0.97


def test_coordinates_in_the_graph_are_those_of_the_dense_random_walk():
    points, _ = gaussians(n=80, d=4, k=3)
    n, weak = 80, 10.0  # every point has ten neighbours, so the mean degree is ten
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    directed = np.zeros((n, n))
    for row, order in enumerate(np.argsort(distances, axis=1)):
        directed[row, order[1:11]] = 1
    joined = (directed + directed.T) / 2 + weak / n
    walk = joined / joined.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(walk)
    first = vectors[:, np.argsort(-values.real)[1:3]].real
    ours = graph_coordinates(points, 2, seed=0)
    assert ours.shape == (n, 2)
    correlations = np.abs(np.corrcoef(ours.T, first.T)[:2, 2:])
    np.testing.assert_allclose(np.diag(correlations), 1, atol=1e-3)


def test_neighbours_are_the_nearest_others():
    points = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)
    assert nearest_neighbours(points, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_equal_points_are_searched_once_for_one_class(monkeypatch) -> None:
    searches = []

    def searched(points: np.ndarray, count: int, device: None) -> np.ndarray:
        searches.append(count)
        return np.full((len(points), count), len(searches))

    monkeypatch.setattr(neighbours, "_searched", searched)
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    with remembered_neighbours():
        first = nearest_neighbours(points, 2)
        assert (nearest_neighbours(points.copy(), 2) == first).all()
        nearest_neighbours(points, 3)
        nearest_neighbours(points + 1, 2)
    assert searches == [2, 3, 2]
    nearest_neighbours(points, 2)  # of another class
    assert len(searches) == 4


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_a_handful_of_points_has_clusters_too(n):
    points = np.arange(n, dtype=np.float32)[:, None] - (n - 1) / 2
    assert set(search(points, 2, seed=0).ids) == {0, 1}


def test_even_clusters_are_taken_unless_others_are_clearly_better_separated(monkeypatch):
    # two cuts of four corners; the graph is made to offer the even one only
    rng = np.random.default_rng(0)
    even, uneven = np.arange(4000) % 2, (np.arange(4000) % 10 < 3).astype(np.int64)
    points = np.column_stack([3 * even, 3.3 * uneven]) + 0.5 * rng.normal(size=(4000, 2))
    points = whitened(points.astype(np.float32), rank=2)
    monkeypatch.setattr(graph, "graph_coordinates", lambda *_: even[:, None].astype(np.float32))
    monkeypatch.setattr(graph, "kmeans", lambda x, *_, **__: uneven if x.shape[1] == 2 else even)
    gap = separation(points, uneven, 2) - separation(points, even, 2)
    assert 0 < gap < 0.03
    assert adjusted_rand_score(even, search(points, 2, seed=0).ids) > 0.99
    assert adjusted_rand_score(uneven, search(points, 2, seed=0, start=Start.ANY).ids) > 0.99
    monkeypatch.setattr(graph, "CLEARLY", gap / 2)
    assert adjusted_rand_score(uneven, search(points, 2, seed=0).ids) > 0.99
    assert adjusted_rand_score(even, search(points, 2, seed=0, start=Start.EVEN).ids) > 0.99


def test_classes_fall_apart_in_their_leading_axes(monkeypatch):
    # 400 points have no neighbours to speak of in 25 axes; one of the first eight has two peaks
    truth = np.arange(400) % 2

    def agreement(seed):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(400, 32))
        points[:, 5] = 2 * truth - 1 + 0.3 * rng.normal(size=400)
        points = whitened((points * 0.8 ** np.arange(32)).astype(np.float32))
        return adjusted_rand_score(truth, search(points, 2, seed=0).ids)

    assert min(map(agreement, range(4))) > 0.95
    monkeypatch.setattr(graph, "LEADING_AXES", 32)
    assert min(map(agreement, range(4))) < 0.5


def test_a_large_class_is_not_worse_off_than_a_small_one():
    # 3 standard deviations apart: with 5,000 points too the graph in all axes shows nothing
    rng = np.random.default_rng(5)
    truth = (rng.uniform(size=5000) < 0.5).astype(np.int64)
    points = rng.normal(size=(5000, 32))
    points[:, 0] += 3 * truth
    found = search(whitened(points.astype(np.float32)), 2, seed=5)
    assert adjusted_rand_score(truth, found.ids) > 0.7


@pytest.mark.parametrize("taken", [Start.EVEN, Start.ANY])
def test_halves_take_the_start_that_was_taken_on_all_samples(monkeypatch, taken):
    # left to choose, a half of these would cut along the other axis
    points = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32)

    other = Start.ANY if taken is Start.EVEN else Start.EVEN

    def along_an_axis(some, *_, start=None, **__):
        chosen = (taken if len(some) == 4000 else other) if start is None else start
        ids = (some[:, 0 if chosen is taken else 1] > 0).astype(np.int64)
        return Found(ids, chosen)

    monkeypatch.setattr(candidate, "search", along_an_axis)
    found = candidate.candidate_of(Space.parse("white2/kmeans"), points, 2, 0, None)
    assert found.start is taken
    for posterior in candidate.cluster_halves(found, 0, None).posteriors:
        assert adjusted_rand_score(found.ids, posterior.argmax(axis=1)) > 0.9


def test_separation_knows_gaussians_from_clusters():
    noise = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    noise = whitened(noise)
    halves = (noise[:, 0] > 0).astype(np.int64)
    # ½ ln(π / (π − 2)) − ln 2, and a small price for the second mean
    assert separation(noise, halves, 2) == pytest.approx(-0.186, abs=0.01)
    assert separation(noise, np.zeros(len(noise), dtype=np.int64), 1) == 0

    points, _ = gaussians(k=3)
    points = whitened(points)
    scores = {k: separation(points, search(points, k, seed=0).ids, k) for k in range(2, 7)}
    assert scores[3] > 0
    assert max(scores, key=scores.get) == 3


def test_separation_rejects_a_handful_of_outliers():
    points = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    points[:5] += 50
    ids = (np.arange(2000) < 5).astype(np.int64)
    assert separation(whitened(points), ids, 2) == -np.inf


def test_the_mixture_refines_clusters_of_unlike_shape():
    # scikit-learn's common covariance goes wrong here, k-means too
    rng = np.random.default_rng(0)
    truth = (np.arange(4000) < 2000).astype(np.int64)
    spread = np.where(truth[:, None] == 1, [[0.5, 2, 0.5, 2]], [[2, 0.5, 2, 0.5]])
    points = rng.normal(size=(4000, 4)) * spread
    points[:, 0] += 2.5 * truth
    points = points.astype(np.float32)
    start = kmeans(points, 2, seed=0, restarts=5)
    means = [points[start == j].mean(axis=0) for j in (0, 1)]
    tied = GaussianMixture(2, covariance_type="tied", means_init=means).fit_predict(points)

    refined = mixture_posterior(points, start, 2, points)
    assert torch.allclose(refined.sum(dim=1), torch.ones(4000))
    agreement = adjusted_rand_score(truth, refined.argmax(dim=1).numpy())
    assert agreement > adjusted_rand_score(truth, start) + 0.15
    assert agreement > adjusted_rand_score(truth, tied) + 0.15


def test_white_coordinates_are_exact_near_collapse():
    rng = np.random.default_rng(0)
    spread = np.logspace(0, -3, 8)
    features = torch.from_numpy(10 + 1e-3 * rng.normal(size=(4000, 8)) * spread)
    coarse = torch.zeros(4000, dtype=torch.int64)
    white = coordinates(features, coarse, 1, Space.parse("white8/gmm"), None).double()
    assert torch.allclose(white.mean(dim=0), torch.zeros(8).double(), atol=1e-3)
    assert torch.allclose(white.T @ white / 4000, torch.eye(8).double(), atol=1e-3)


@pytest.mark.parametrize(
    "name", ["white/gmm", "pca0/kmeans", "tsne2/kmeans", "white16", "raw8/gmm"]
)
def test_an_unknown_space_is_named(name):
    with pytest.raises(ValueError, match=name):
        Space.parse(name)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
@pytest.mark.parametrize("name", ["tsne", "umap"])
def test_an_embedding_keeps_planted_clusters_apart(name):
    points, truth = gaussians(n=300, d=8, k=3, distance=12.0)
    flat = laid_out(torch.from_numpy(points), Space.parse(f"{name}/kmeans"), seed=0)
    assert flat.shape == (300, 2)
    assert adjusted_rand_score(truth, kmeans(flat.numpy(), 3, seed=0, restarts=5)) > 0.99


def test_without_the_embedding_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(ImportError, match=r"collapse-lit\[embed\]"):
        laid_out(torch.zeros(5, 2), Space.parse("tsne/kmeans"), seed=0)


def test_without_faiss_the_error_names_the_extras(monkeypatch):
    real_import = builtins.__import__

    def no_faiss(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_faiss)
    with pytest.raises(ImportError, match=r"collapse-lit\[cpu\].*collapse-lit\[gpu\]"):
        kmeans(np.zeros((4, 2), dtype=np.float32), 2, seed=0)
