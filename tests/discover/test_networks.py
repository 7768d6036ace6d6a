import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from collapse_lit.discover.networks import (
    NetworkOptions,
    folder_features,
    network_samples,
)
from collapse_lit.discover.heads import classifying_layer
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
    with pytest.raises(UserError, match="these are no weights of resnet18"):
        network_samples(NetworkOptions("resnet18", str(path)), photos)
    with pytest.raises(UserError, match="neither such a file nor such pretrained weights"):
        network_samples(NetworkOptions("resnet18", "DEFUALT"), photos)
    with pytest.raises(UserError, match=r"no layer 'fc'; it has .*classifier.3"):
        network_samples(options(path, layer="fc"), photos)
    with pytest.raises(UserError, match=r"--images: .*berry holds no class folders"):
        network_samples(options(path), photos / "berry")
    with pytest.raises(UserError, match="no such folder"):
        network_samples(options(path), tmp_path / "nowhere")
    with pytest.raises(UserError, match="vit_b_16 does not take these images"):
        network_samples(NetworkOptions("vit_b_16", image_size=32), photos)


def test_a_pickled_model_is_refused(photos: Path, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=r"could run code .* save torch.save\(model.state_dict"):
        network_samples(NetworkOptions("resnet18", str(tmp_path / "whole.pt")), photos)
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(UserError, match="holds no state dict"):
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
