import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from collapse_lit.discover import discover_network
from collapse_lit.discover.heads import classifying_layer
from collapse_lit.discover.networks import (
    NetworkOptions,
    folder_features,
    network_samples,
)
from collapse_lit.errors import UserError
from collapse_lit.models.state import read_state


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """A small network of torchvision's with two classes, and a file with its weights."""
    torch.manual_seed(0)
    model = models.get_model("mobilenet_v3_small", num_classes=2).eval()
    path = tmp_path_factory.mktemp("weights") / "mine.pt"
    torch.save(model.state_dict(), path)
    return model, path


def options(path: Path | None, **more) -> NetworkOptions:
    weights = None if path is None else str(path)
    return NetworkOptions("mobilenet_v3_small", weights, image_size=32, **more)


def test_features_are_what_enters_the_last_linear_layer(trained, photos: Path) -> None:
    model, path = trained
    half = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    samples = network_samples(options(path, **half), photos)
    assert samples.coarse_names == ("berry", "sky")
    assert samples.coarse.tolist() == [0] * 4 + [1] * 4
    assert samples.paths is not None
    assert [Path(p).name for p in samples.paths[:2]] == ["0-red.jpg", "1-green.jpg"]
    assert samples.origin["layer"] == classifying_layer(model, "") == "classifier.3"
    colours = torch.tensor([[254.0, 0, 0], [0, 0, 254]])  # of row 0 and row 7, as JPEG has them
    images = (colours / 255 - 0.5)[..., None, None] / 0.5
    with torch.no_grad():
        logits = model(images.expand(2, 3, 32, 32).contiguous())
        ours = model.classifier[3](samples.features[[0, 7]])
    assert torch.allclose(ours, logits, atol=1e-4)
    assert samples.picture is not None
    assert samples.picture(0).size == (40, 32)


def test_weights_may_be_part_of_a_checkpoint_and_have_a_prefix(
    trained, photos: Path, tmp_path: Path
) -> None:
    model, path = trained
    state = {f"net.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(2)}}, tmp_path / "lit.ckpt")
    expected, files = folder_features(options(path), photos)
    assert torch.equal(folder_features(options(tmp_path / "lit.ckpt"), photos)[0], expected)
    assert len(files) == 8


def test_random_weights_are_told(photos: Path) -> None:
    assert "random weights" in network_samples(options(None), photos).notes[0]


def test_all_broken_images_are_named(trained, photos: Path) -> None:
    (photos / "sky" / "a-torn.jpg").write_bytes((photos / "sky" / "5-blue.jpg").read_bytes()[:200])
    (photos / "berry" / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="2 of 10 images cannot be read") as error:
        network_samples(options(trained[1]), photos)
    assert "a-torn.jpg" in str(error.value)
    assert "text.png" in str(error.value)


def test_mistakes_are_named(trained, photos: Path, tmp_path: Path) -> None:
    _, path = trained
    with pytest.raises(UserError, match=r"no classifier 'resnet19'; did you mean .*resnet18"):
        network_samples(NetworkOptions("resnet19"), photos)
    with pytest.raises(UserError, match="these weights do not fit resnet18"):
        network_samples(NetworkOptions("resnet18", str(path)), photos)
    with pytest.raises(UserError, match="neither a file nor the name of pretrained weights"):
        network_samples(NetworkOptions("resnet18", "DEFUALT"), photos)
    with pytest.raises(UserError, match=r"no layer 'fc'; its layers include .*classifier.3"):
        network_samples(options(path, layer="fc"), photos)
    with pytest.raises(UserError, match=r"--images: .*berry holds no class folders"):
        network_samples(options(path), photos / "berry")
    with pytest.raises(UserError, match="no such folder"):
        network_samples(options(path), tmp_path / "nowhere")
    with pytest.raises(UserError, match="vit_b_16 cannot process these images"):
        network_samples(NetworkOptions("vit_b_16", image_size=32), photos)


def test_a_full_gpu_is_not_blamed_on_the_images(trained, photos: Path, monkeypatch) -> None:
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr("collapse_lit.discover.networks.extract_features", full)
    with pytest.raises(UserError, match=r"does not fit into the memory of .*Tried to allocate"):
        network_samples(options(trained[1]), photos)


def test_a_pickled_model_is_refused(photos: Path, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(
        UserError, match=r"could run code .* save with torch.save\(model.state_dict"
    ):
        network_samples(NetworkOptions("resnet18", str(tmp_path / "whole.pt")), photos)
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(UserError, match="contains no state dict"):
        read_state(tmp_path / "empty.pt", "--weights")


def test_timm_says_what_to_install(photos: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        network_samples(NetworkOptions("timm:resnet18"), photos)


def test_timm(photos: Path) -> None:
    pytest.importorskip("timm")
    samples = network_samples(NetworkOptions("timm:resnet10t", image_size=64), photos)
    assert samples.features.shape == (8, 512)
    assert samples.origin["layer"] == "fc"


OWN = '''
import torch
from torch import nn


class Net(nn.Module):
    """A classifier of grey pictures."""

    def __init__(self, width=4, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.conv(x).relu().mean((2, 3)))


class Backbone(nn.Module):
    """Features and no classifier, as fit takes it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


class Tokens(nn.Module):
    """Its head takes tokens, and their answers are averaged."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 8, stride=8)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.patch(x).flatten(2).transpose(1, 2)).mean(1)
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> Any:
    (tmp_path / "mynets_of_a_user.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("mynets_of_a_user", None)
    return importlib.import_module("mynets_of_a_user")


def test_a_network_of_ones_own(own, photos: Path, tmp_path: Path) -> None:
    model = own.Net(width=7).eval()
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    options = NetworkOptions(
        "mynets_of_a_user.Net",
        "mine.pt",
        image_size=16,
        model_args={"width": 7},
        mean=[0.5],
        std=[2],
    )
    samples = network_samples(options, photos)
    assert samples.features.shape == (8, 7)
    with Image.open(photos / "berry" / "0-red.jpg") as red:
        grey = red.convert("L").getpixel((5, 5))
    image = torch.full((1, 1, 16, 16), (grey / 255 - 0.5) / 2)
    with torch.no_grad():
        logits = model(image)
    assert torch.allclose(model.out(samples.features[:1]), logits, atol=1e-4)
    assert samples.predictions is not None
    assert samples.predictions.names == ("berry", "sky")
    assert int(samples.predictions.ids[0]) == int(logits.argmax())
    loss = nn.functional.cross_entropy(logits, torch.tensor([0]))
    assert samples.predictions.loss is not None
    assert float(samples.predictions.loss[0]) == pytest.approx(float(loss), abs=1e-4)


def test_a_network_that_returns_features(own, photos: Path, tmp_path: Path) -> None:
    name = "mynets_of_a_user.Backbone"
    samples = network_samples(NetworkOptions(name, image_size=16, layer="output"), photos)
    assert samples.features.shape == (8, 5)
    assert samples.predictions is None
    backbone, head = own.Backbone(), nn.Linear(5, 2)
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    state |= {f"head.{key}": value for key, value in head.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")  # as fit writes it
    samples = network_samples(NetworkOptions(name, "last.ckpt", image_size=16), photos)
    assert samples.origin["layer"] == "head"
    assert samples.features.shape == (8, 5)
    assert samples.predictions is not None


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_tokens_are_pooled(own, photos: Path, pool: str) -> None:
    options = NetworkOptions("mynets_of_a_user.Tokens", image_size=16, pool=pool)
    samples = network_samples(options, photos)
    assert samples.features.shape == (8, 6)
    with pytest.raises(UserError, match="--pool cls needs tokens"):
        network_samples(NetworkOptions("mynets_of_a_user.Net", image_size=16, pool="cls"), photos)


def test_a_convolution_may_classify(photos: Path) -> None:
    samples = network_samples(NetworkOptions("squeezenet1_0", image_size=64), photos)
    assert samples.origin["layer"] == "classifier.1"
    assert samples.features.shape == (8, 512)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "mynets_of_a_user.Net"}, "add --image_size PIXELS"),
        ({"model": "mynets_of_a_user.Gone", "image_size": 8}, "cannot be imported"),
        ({"model": "mynets_of_a_user.torch", "image_size": 8}, "is not a class or function"),
        (
            {"model": "mynets_of_a_user.Net", "image_size": 8, "model_args": {"depth": 1}},
            "give its arguments with --model_args",
        ),
        ({"model": "resnet18", "model_args": {"width": 1}}, "needs your own class"),
        ({"model": "hf:nowhere", "image_size": 8}, "--image_size cannot be combined with hf:"),
    ],
)
def test_mistakes_with_ones_own_network(own, photos: Path, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        network_samples(NetworkOptions(**options), photos)


def test_a_network_in_python(planted) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), nn.Linear(6, 2)).train()
    labels = torch.tensor([label == "dog" for label in planted.labels]).long()
    data = TensorDataset(torch.from_numpy(planted.features), labels)
    out = planted.folder / "found"
    loader = DataLoader(data, batch_size=64)
    found = discover_network(model, loader, names=("cat", "dog"), out=out)
    assert [classes.k for classes in found.classes] == [2, 1]
    assert model.training
    assert list(dict(model.named_modules())) == ["", "0", "1"]
    said = (out / "clusters.json").read_text()
    assert '"failures"' in said
    with pytest.raises(UserError, match="names: 1 names given, but labels go up to 1"):
        discover_network(model, loader, names=("cat",))


def test_hugging_face(photos: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        id2label={0: "berry", 1: "sky"},
        label2id={"berry": 0, "sky": 1},
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "hf")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(
        tmp_path / "hf"
    )
    samples = network_samples(NetworkOptions(f"hf:{tmp_path / 'hf'}"), photos)
    assert samples.features.shape == (8, 8)
    assert samples.predictions is not None
    assert samples.predictions.names == ("berry", "sky")


def test_a_network_of_tokens_is_left_as_it_was(own) -> None:
    model = own.Tokens()
    before = [name for name, _ in model.named_modules()]
    images = torch.rand(40, 3, 16, 16)
    batches = [{"pixel_values": part, "labels": torch.arange(20) % 2} for part in images.split(20)]
    found = discover_network(model, batches, pool="mean", k=1)
    assert len(found.ids) == 40
    assert [name for name, _ in model.named_modules()] == before
    with pytest.raises(UserError, match="no layer 'nope'"):
        discover_network(model, batches, layer="nope")


def test_timm_with_a_tag(photos: Path) -> None:
    pytest.importorskip("timm")
    options = NetworkOptions("timm:resnet10t.c3_in1k", image_size=64)
    assert network_samples(options, photos).features.shape == (8, 512)
    with pytest.raises(UserError, match=r"timm has no model 'resnet10t\.c3'"):
        network_samples(NetworkOptions("timm:resnet10t.c3", image_size=64), photos)
