from pathlib import Path

import pytest
import torch

from collapse_lit.data.gaussian import GaussianMixture
from collapse_lit.data.sources import SourceOptions
from collapse_lit.data.sources import load_source as load_with
from collapse_lit.errors import UserError

ROOT = Path("unused")


def load_source(source: str, root: Path = ROOT, **options):
    return load_with(source, SourceOptions(root, **options))


def test_digits_are_split_once_and_for_all():
    data, again = load_source("digits", ROOT), load_source("digits", ROOT)
    assert data.train.images.shape == (1297, 1, 8, 8)
    assert data.test.images.shape == (500, 1, 8, 8)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.max() == 255
    assert data.test.labels.bincount(minlength=10).min() >= 48  # 500 of ten nearly equal classes
    assert data.test.images.equal(again.test.images)
    assert data.fine_names == tuple("0123456789")


def test_gaussian_centres_lie_at_the_planted_distances():
    mixture = GaussianMixture(num_fine=4, dim=12, per_class=4000, fine_distance=3.0)
    data = load_source("gaussian", ROOT, gaussian=mixture, num_coarse=2, seed=5)
    assert data.train.images.shape == (16000, 12)
    assert data.test.labels.bincount().tolist() == [2000] * 4
    for split in (data.train, data.test):  # the same mixture
        means = torch.stack([split.images[split.labels == c].mean(0) for c in range(4)])
        assert (means[0] - means[2]).norm().item() == pytest.approx(3, abs=0.2)  # 0 = 2 mod 2
        across = (3**2 + 12**2) ** 0.5  # another coarse centre, 12 away, and another fine one
        assert (means[0] - means[1]).norm().item() == pytest.approx(across, abs=0.2)
        residual = split.images - means[split.labels]
        assert residual.std().item() == pytest.approx(1, abs=0.02)


def test_gaussian_follows_its_seed():
    draws = [load_source("gaussian", ROOT, seed=seed).train.images for seed in (0, 0, 1)]
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "cifar10"}, r"data\.source='cifar10' is unknown; did you mean 'CIFAR10'"),
        (
            {"source": "digits", "image_size": 32},
            r"data\.image_size works only with data\.source=imagefolder",
        ),
        (
            {"source": "gaussian", "gaussian": GaussianMixture(num_fine=10, dim=14)},
            r"data\.gaussian\.dim=14 is too small.*at least 15",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        load_source(**arguments)
