import pytest
import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError
from collapse_lit.features import View, extract_features, further_views


class Net(nn.Module):
    """BatchNorm, dropout and a map in the middle: what goes wrong outside eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)
        self.unused = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.conv(x).mean((2, 3))))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(7, 1, 6, 6)


def batches(images: Tensor, size: int) -> list[tuple[Tensor, ...]]:
    labels = torch.arange(len(images))
    columns = (images, labels % 2, labels % 4, labels)
    return list(zip(*(column.split(size) for column in columns), strict=True))


def test_features_are_the_clean_input_of_the_head(net: Net, images: Tensor) -> None:
    net.train()
    found = extract_features(net, batches(images, 3), "head", also=["conv"])
    with torch.no_grad():
        maps = net.eval().conv(images)
    torch.testing.assert_close(found.features, maps.mean((2, 3)))
    torch.testing.assert_close(found.layers["conv"], maps.mean((2, 3)))
    assert found.index.tolist() == list(range(7))
    assert found.fine is not None
    assert found.fine.tolist() == [0, 1, 2, 3, 0, 1, 2]


def test_the_pass_leaves_the_model_as_it_was(net: Net, images: Tensor) -> None:
    net.train()
    net.drop.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    extract_features(net, batches(images, 3), "head")
    assert net.training
    assert net.conv.training
    assert not net.drop.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net.head._forward_pre_hooks


def test_half_precision_training_does_not_touch_the_features(net: Net, images: Tensor) -> None:
    plain = extract_features(net, batches(images, 3), "head")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = extract_features(net, batches(images, 3), "head")
    assert torch.equal(plain.features, under_autocast.features)


def test_labels_are_optional_beyond_the_coarse_ones(net: Net, images: Tensor) -> None:
    found = extract_features(net, [batch[:2] for batch in batches(images, 4)], "head")
    assert found.fine is None
    assert found.index.tolist() == list(range(7))


def test_a_wrong_layer_is_named_with_what_there_is(net: Net, images: Tensor) -> None:
    with pytest.raises(UserError, match=r"no layer 'fc'.*head"):
        extract_features(net, batches(images, 3), "fc")
    with pytest.raises(UserError, match="'unused' is never called"):
        extract_features(net, batches(images, 3), "unused")
    with pytest.raises(UserError, match="the data loader gave no batches"):
        extract_features(net, [], "head")


def test_further_views_are_the_other_side_and_a_pixel_aside() -> None:
    image = torch.arange(1.0, 7).view(1, 1, 2, 3)
    seen = [view(image)[0, 0].tolist() for view in further_views(mirror=True, shift=True)["test"]]
    assert seen == [
        [[3, 2, 1], [6, 5, 4]],
        [[5, 6, 6], [5, 6, 6]],
        [[5, 4, 4], [5, 4, 4]],
        [[1, 1, 2], [1, 1, 2]],
        [[3, 3, 2], [3, 3, 2]],
    ]
    mirrored = (View(mirrored=True),)
    assert further_views(mirror=True, shift=True)["train"] == mirrored
    assert further_views(mirror=True, shift=False) == {"train": mirrored, "test": mirrored}
    aside = (View(shift=-1), View(shift=1))
    assert further_views(mirror=False, shift=True) == {"train": (), "test": aside}
    assert further_views(mirror=False, shift=False) == {"train": (), "test": ()}


def test_the_views_asked_for_are_averaged_with_the_images(net: Net, images: Tensor) -> None:
    views = further_views(mirror=True, shift=True)["test"]
    rows = [extract_features(net, batches(view(images), 3), "head").features for view in views]
    plain = extract_features(net, batches(images, 3), "head")
    found = extract_features(net, batches(images, 3), "head", also=["conv"], views=views)
    assert torch.equal(found.features, plain.features)
    assert torch.equal(found.layers["conv"], plain.features)
    expected = torch.stack([plain.features, *rows]).mean(0)
    torch.testing.assert_close(found.averaged(views).features, expected)
    mirrored = views[:1]
    expected = (plain.features + rows[0]) / 2
    assert not torch.allclose(plain.features, expected)
    torch.testing.assert_close(found.averaged(mirrored).features, expected)
    assert torch.equal(found.stacked(mirrored), torch.cat([plain.features, rows[0]]))
    assert torch.equal(found.averaged(()).features, plain.features)


def test_vectors_have_no_further_views() -> None:
    linear = nn.Sequential(nn.Identity(), nn.Linear(3, 2))
    vectors = [(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))]
    with pytest.raises(UserError, match=r"recovery\.mirror and recovery\.shift need images"):
        extract_features(linear, vectors, "1", views=[View(mirrored=True)])
