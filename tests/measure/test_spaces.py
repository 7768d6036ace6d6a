"""Spaces by name, and user-defined spaces and clusterers."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from collapse_lit.measure import (
    recover,
    register_clusterer,
    register_coordinates,
    register_layout,
)
from collapse_lit.measure.recovery import clusterers
from collapse_lit.measure.recovery.clusterers import CLUSTERERS, nearest_mean
from collapse_lit.measure.recovery.residuals import ClassResiduals, Residuals
from collapse_lit.measure.recovery.spaces import CANDIDATES, Space, coordinates, spaces_to_try

pytestmark = pytest.mark.usefixtures("registries_as_they_were")


def two_in_each(n: int = 300, d: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, coarse and fine labels of two coarse classes with two far clusters each."""
    fine = torch.arange(n) % 4
    noise = torch.randn(n, d, generator=torch.manual_seed(0))
    return noise + 8 * torch.eye(d)[fine], fine % 2, fine


def ward(points, start, k, everywhere, seed):
    """Agglomerative clustering, which looks at no start and knows no other points."""
    return nearest_mean(points, AgglomerativeClustering(k).fit_predict(points), k, everywhere, seed)


@pytest.mark.parametrize("unit", ["", "unit-"])
@pytest.mark.parametrize("kind", ["raw", "pca4", "white32", "tsne", "umap"])
@pytest.mark.parametrize("clusterer", ["kmeans", "gmm"])
def test_a_space_is_written_as_it_was_read(unit: str, kind: str, clusterer: str) -> None:
    name = f"{unit}{kind}/{clusterer}"
    assert str(Space.parse(name)) == name


def test_the_choice_goes_by_two_names() -> None:
    assert spaces_to_try(None) == spaces_to_try("auto") == tuple(map(Space.parse, CANDIDATES))
    assert spaces_to_try(Space.parse("raw/gmm")) == spaces_to_try("raw/gmm")


def test_the_rank_is_that_of_the_coordinates_whatever_the_clusterer_is_called() -> None:
    register_clusterer("ward2")(ward)
    assert str(Space.parse("white32/ward2").with_rank(17)) == "white17/ward2"
    assert str(Space.parse("raw/ward2").with_rank(17)) == "raw/ward2"
    x, coarse, _ = two_in_each()
    assert recover(x, coarse, 2, space="white32/ward2").space == ("white9/ward2",) * 2


def test_a_clusterer_of_ones_own_is_one_function() -> None:
    called = []

    @register_clusterer("ward")
    def counted(points, start, k, everywhere, seed):
        called.append((len(points), len(everywhere), seed))
        return ward(points, start, k, everywhere, seed)

    x, coarse, fine = two_in_each()
    found = recover(x, coarse, 2, space="pca8/ward", seed=5)
    assert sorted(called) == [(75, 150, 5)] * 4 + [(150, 150, 5)] * 2  # halves, then all
    assert found.space == ("pca8/ward",) * 2
    assert adjusted_rand_score(fine, found.ids) == 1
    assert found.stability == 1


def test_coordinates_of_ones_own_are_one_function() -> None:
    @register_coordinates("spread")
    def spread(residuals, rank):
        """The features that vary most, as they are."""
        kept = residuals.variances().topk(2).indices
        return lambda block: block[:, kept]

    x, coarse, fine = two_in_each()
    found = recover(x, coarse, 2, space="unit-spread/gmm")
    assert found.space == ("unit-spread/gmm",) * 2
    assert found.xy.shape == (300, 2)
    assert adjusted_rand_score(fine, found.ids) == 1


def test_whitened_coordinates_of_ones_own_are_searched_and_separated() -> None:
    @register_coordinates("tail", ranked=True, white=True)
    def tail(residuals, rank):
        """The principal coordinates without the first, each of unit variance."""
        variances, axes = residuals.principal_axes(rank + 1)
        return lambda block: block @ (axes / variances.sqrt())[:, 1:]

    x, coarse, _ = two_in_each()
    x = x + 50 * torch.randn(300, 1, generator=torch.manual_seed(1))  # a nuisance, far the longest
    found = recover(x, coarse, [2, None], space="tail5/gmm")
    assert found.space == ("tail5/gmm",) * 2
    assert min(found.separation_per_class) > 0.5
    assert found.k == (2, 2)


def test_a_layout_of_ones_own_is_one_function() -> None:
    seen = []

    @register_layout("first_two")
    def first_two(points, seed):
        seen.append((points.shape, seed))
        return points[:, :2]

    x, coarse, fine = two_in_each()
    found = recover(x, coarse, 2, space="first_two/kmeans", seed=3)
    assert seen == [((150, 12), 3)] * 2
    assert found.space == ("first_two/kmeans",) * 2
    assert adjusted_rand_score(fine, found.ids) == 1


@pytest.mark.parametrize(
    "name", ["white/gmm", "white0/gmm", "white16", "raw8/gmm", "tsne2/kmeans", "ica/gmm", "raw/em"]
)
def test_an_unknown_space_names_those_there_are(name: str) -> None:
    register_clusterer("ward")(ward)
    with pytest.raises(ValueError, match=r"raw, pcaR, whiteR.*kmeans, gmm, ward") as raised:
        recover(*two_in_each()[:2], 2, space=name)
    assert repr(name) in str(raised.value)


def test_a_name_is_given_once_and_can_be_read() -> None:
    with pytest.raises(ValueError, match="clusterer named 'gmm' already exists"):
        register_clusterer("gmm")(ward)
    for name in ("pca2d", "unit-pca", ""):
        with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
            register_layout(name)(lambda points, seed: points)
    with pytest.raises(ValueError, match="cannot be named 'a/b'"):
        register_clusterer("a/b")(ward)


@pytest.mark.parametrize(
    "wrong", [lambda n, k: np.zeros(n), lambda n, k: np.full((n, k), np.nan)], ids=["ids", "nan"]
)
def test_a_clusterer_without_posteriors_is_told_what_would_be_right(wrong) -> None:
    register_clusterer("wrong")(
        lambda points, start, k, everywhere, seed: wrong(len(everywhere), k)
    )
    with pytest.raises(
        ValueError, match=r"'wrong' returned .* must return finite posteriors of shape \(150, 2\)"
    ):
        recover(*two_in_each()[:2], 2, space="raw/wrong")


def test_what_the_documentation_shows_works() -> None:
    page = (Path(__file__).parents[2] / "docs/extending.md").read_text()
    *_, code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    x, coarse, fine = two_in_each()
    names = {"features": x, "coarse": coarse}
    exec(code, names)
    assert names["found"].space == ("longest/ward",) * 2
    assert adjusted_rand_score(fine, names["found"].ids) == 1


def test_the_docstring_registers_a_clusterer() -> None:
    assert doctest.testmod(clusterers) == (0, 3)
    assert "ward" in CLUSTERERS


def test_one_scatter_matrix_is_held_at_a_time(monkeypatch) -> None:
    """A hundred of them take 3 GB at d = 2,048."""
    events = []

    def noted(name, call):
        def noting(*args):
            events.append(name)
            return call(*args)

        return noting

    for owner, name in ((ClassResiduals, "scatter_on"), (Residuals, "_solved")):
        monkeypatch.setattr(owner, name, noted(name, getattr(owner, name)))
    x, coarse = torch.randn(300, 4), torch.arange(300) % 3
    coordinates(x, coarse, 3, Space.parse("white4/kmeans"), None)
    assert events == ["scatter_on", "_solved"] * 3
