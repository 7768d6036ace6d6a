import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from collapse_lit.errors import UserError
from collapse_lit.features import extract_features
from collapse_lit.models import CoarseClassifier, make_backbone
from collapse_lit.models.fast_cnn import FastCNN, whitening_filters
from collapse_lit.models.schedule import schedule


@pytest.mark.parametrize(
    ("name", "shape", "width"),
    [
        ("small_cnn", (1, 8, 8), 128),
        ("small_vit", (1, 8, 8), 192),
        ("small_vit", (3, 32, 32), 192),
        ("mlp", (16,), 256),
        ("pixels", (3, 8, 8), 192),
        ("resnet18", (3, 32, 32), 512),
    ],
)
def test_backbone_gives_flat_features(name: str, shape: tuple[int, ...], width: int) -> None:
    backbone, found = make_backbone(name, shape)
    assert found == width
    assert backbone.eval()(torch.zeros(3, *shape)).shape == (3, width)


def test_resnet_sees_small_images_at_full_resolution() -> None:
    small, _ = make_backbone("resnet18", (3, 32, 32))
    large, _ = make_backbone("resnet18", (3, 96, 96))
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(small.maxpool, nn.Identity)
    assert (large.conv1.kernel_size, large.conv1.stride) == ((7, 7), (2, 2))


@pytest.mark.parametrize(("name", "expansion"), [("resnet18", 1), ("resnet50", 4)])
def test_a_resnet_takes_a_width_and_64_is_torchvisions(name: str, expansion: int) -> None:
    whole, _ = make_backbone(name, (3, 32, 32))
    same, _ = make_backbone(name, (3, 32, 32), width=64)
    _, features = make_backbone(name, (3, 32, 32), width=16)
    assert features == 16 * 8 * expansion
    shapes, others = ({k: v.shape for k, v in net.state_dict().items()} for net in (whole, same))
    assert shapes == others


def test_the_feature_of_the_transformer_is_its_class_token() -> None:
    backbone, width = make_backbone("small_vit", (1, 8, 8), width=24, depth=2, patch=2)
    assert width == 24
    assert len(backbone.encoder.layers) == 2
    tokens: list[torch.Tensor] = []
    backbone.encoder.register_forward_hook(lambda *call: tokens.append(call[-1]))
    features = backbone.eval()(torch.randn(3, 1, 8, 8))
    assert tokens[0].shape == (3, 1 + 16, 24)
    assert torch.equal(features, tokens[0][:, 0])


def test_a_block_of_the_transformer_is_read_as_the_mean_over_its_tokens() -> None:
    backbone, _ = make_backbone("small_vit", (1, 8, 8), width=24, depth=2)
    network = nn.Sequential(backbone, nn.Linear(24, 2))
    images, block = torch.randn(3, 1, 8, 8), "0.encoder.layers.encoder_layer_0"
    tokens: list[torch.Tensor] = []
    network.get_submodule(block).register_forward_hook(lambda *call: tokens.append(call[-1]))
    read = extract_features(network, [(images, torch.tensor([0, 1, 0]))], "1", also=[block])
    assert tokens[0].shape == (3, 1 + 4, 24)
    torch.testing.assert_close(read.layers[block], tokens[0].mean(dim=1))
    torch.testing.assert_close(read.features, backbone(images))


def test_other_torchvision_models_take_grey_images() -> None:
    backbone, width = make_backbone("mobilenet_v3_small", (1, 32, 32))
    assert backbone.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, width)


@pytest.mark.parametrize(
    ("name", "shape", "options", "said"),
    [
        ("resnet19", (3, 32, 32), {}, "resnet18"),
        ("small_cnn", (3, 32, 32), {"wide": 3}, "wide"),
        ("small_cnn", (16,), {}, "images"),
        ("small_vit", (16,), {}, "images"),
        ("small_vit", (3, 32, 28), {}, "square images"),
        ("small_vit", (3, 30, 30), {}, "a multiple of patch=4"),
        ("small_vit", (3, 32, 32), {"width": 100}, "a multiple of heads=3, not 100"),
        ("vgg11", (3, 32, 32), {"width": 16}, "only ResNets"),
        ("nowhere.Net", (3, 8, 8), {}, "nowhere"),
        ("torch.nn.Sigmund", (3, 8, 8), {}, "Sigmund"),
        ("torch.nn.Identity", (3, 8, 8), {}, "shape"),
        ("os.abort", (3, 8, 8), {}, "torch.nn.Module"),  # never called: this process lives on
    ],
)
def test_a_wrong_backbone_is_named(name: str, shape: tuple, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_backbone(name, shape, **options)


def test_a_network_of_the_users_is_trained(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, width):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(48, width), nn.ReLU())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = CoarseClassifier(5, (3, 4, 4), "own_nets.Net", {"width": 7})
    assert model(torch.zeros(2, 3, 4, 4)).shape == (2, 5)
    assert model.head.in_features == 7


def test_schedules_by_hand() -> None:
    multistep = schedule("multistep", 300)
    assert [multistep(step) for step in (0, 99, 100, 199, 200, 299)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    early = schedule("multistep", 100, (0.1, 0.5))
    assert [early(step) for step in (9, 10, 49, 50, 99)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])
    onecycle = schedule("onecycle", 100)
    assert onecycle(0) == pytest.approx(0.005 / 0.2)
    assert max(onecycle(step) for step in range(100)) <= 1
    assert onecycle(19) == pytest.approx(0.975)
    assert onecycle(99) == pytest.approx(0.005 / 0.8)
    assert schedule("cosine", 2)(1) == pytest.approx(0.5 - 0.5 * 0.5**0.5)
    assert schedule("constant", 5)(4) == 1


def test_milestones_in_epochs_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.milestones=\[0\.5, 150\].*between 0 and 1"):
        CoarseClassifier(5, (1, 8, 8), milestones=(0.5, 150))


def test_the_classifier_has_one_output_a_coarse_class() -> None:
    model = CoarseClassifier(num_classes=5, image_shape=(1, 8, 8))
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
    assert model.head.in_features == 128


def test_whitening_makes_patches_uncorrelated() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(200, 3, 9, 9, generator=generator)
    smooth = nn.functional.avg_pool2d(30 * images, 3, stride=1, padding=1)
    patches = nn.functional.conv2d(smooth, whitening_filters(smooth))  # (n, 12, 8, 8)
    columns = patches.transpose(0, 1).flatten(1)
    covariance = columns @ columns.T / columns.shape[1]
    assert torch.allclose(covariance, torch.eye(12), atol=0.03)  # but for the ridge


def test_fast_cnn_starts_from_statistics_and_never_learns_them() -> None:
    network = FastCNN(3, (8, 16, 16))
    images = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network.initialise_from(images)
    filters = network.whitening.weight.clone()
    assert torch.equal(filters[:12], -filters[12:])
    network(images).sum().backward()
    assert network.whitening.weight.grad is None
    assert network.blocks[0].conv1.weight.grad is not None
