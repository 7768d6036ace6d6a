"""The public names, and the modules that their import loads."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

import collapse_lit
from collapse_lit.measure import class_distances, neural_collapse, recover
from collapse_lit.measure.collapse import functional
from collapse_lit.measure.recovery import estimator
from collapse_lit.measure.recovery.estimator import SubclassClustering


def test_measures_come_without_lightning_or_wandb() -> None:
    script = """
import sys
import collapse_lit
assert "torch" not in sys.modules
collapse_lit.recover, collapse_lit.neural_collapse, collapse_lit.score_recovery
heavy = {"lightning", "wandb", "torchmetrics", "matplotlib", "plotly"} & sys.modules.keys()
assert not heavy, heavy
collapse_lit.NeuralCollapse
assert "lightning" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", collapse_lit.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    assert getattr(collapse_lit, name).__doc__
    assert name in dir(collapse_lit)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recovr'"):
        _ = collapse_lit.recovr
    with pytest.raises(AttributeError, match="no attribute 'recovr'"):
        _ = collapse_lit.measure.recovr


@pytest.mark.parametrize("module", [functional, estimator])
def test_docstrings_say_what_comes_out(module) -> None:
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0


def test_the_number_of_classes_is_that_of_the_labels() -> None:
    labels = torch.arange(90) % 3
    x = torch.eye(5)[labels] + 0.1 * torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
    assert neural_collapse(x, labels) == neural_collapse(x, labels, 3)
    assert class_distances(x, labels).equal(class_distances(x, labels, 3))
    with pytest.raises(ValueError, match="at least two classes, not 1"):
        neural_collapse(x, torch.zeros(90, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels"):
        class_distances(x, labels.float())


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, class names and hidden sub-classes of 600 samples."""
    rng = np.random.default_rng(1)
    hidden = np.arange(600) % 6
    X = np.eye(12)[hidden] + 0.15 * rng.normal(size=(600, 12))
    return X, np.array(["cat", "dog", "emu"])[hidden % 3], hidden


def test_the_estimator_finds_what_recover_finds(planted) -> None:
    X, y, hidden = planted
    found = SubclassClustering(k=2, seed=3).fit(X, y)
    coarse = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    same = recover(torch.from_numpy(X).float(), coarse, 2, seed=3)
    assert found.labels_.tolist() == same.ids.tolist()
    assert found.cluster_classes_.tolist() == ["cat", "cat", "dog", "dog", "emu", "emu"]
    assert (found.cluster_classes_[found.labels_] == y).all()
    assert found.spaces_ == tuple(same.space)
    assert len({*zip(found.labels_.tolist(), hidden.tolist(), strict=True)}) == 6


def test_the_estimator_predicts_for_further_samples(planted) -> None:
    X, y, _ = planted
    found = clone(SubclassClustering(k=2)).fit(X[:400], y[:400])
    again = SubclassClustering(k=2).fit_predict(X[:400], y[:400])
    assert found.labels_.tolist() == again.tolist()
    told = found.predict(X[400:])
    assert (found.cluster_classes_[told] == y[400:]).mean() > 0.95
    assert found.get_params() == {"k": 2, "seed": 0, "space": "auto"}


def test_the_metric_is_drawn_and_tells_what_came_in() -> None:
    metric = collapse_lit.NeuralCollapse(num_classes=2, num_features=2)
    features = torch.tensor([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]])
    metric.update(features[:3], torch.tensor([0, 0, 1]))
    assert metric.counts.tolist() == [2, 1]
    assert metric.means.tolist() == [[0, 0], [4, 1]]
    assert metric.variances.tolist() == [1, 0]
    metric.update(features[3:], torch.tensor([1]))
    assert metric.scatter.tolist() == [[0, 0], [0, 1]]
    figure, axes = metric.plot([metric.compute(), metric.compute()])
    assert figure is not None
    assert axes is not None


def test_a_space_and_numbers_for_some_classes_may_be_asked_for() -> None:
    rng = np.random.default_rng(0)
    hidden = np.arange(600) % 4
    X, y = 6 * np.eye(8)[hidden] + rng.normal(size=(600, 8)), hidden % 2
    forced = SubclassClustering(k=[2, 3], space="raw/kmeans").fit(X, y)
    assert forced.spaces_ == ("raw/kmeans", "raw/kmeans")
    mixed = SubclassClustering(k=[3, None]).fit(X, y)
    assert np.bincount(mixed.cluster_classes_).tolist() == [3, 2]
