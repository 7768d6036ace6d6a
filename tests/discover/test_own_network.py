"""The walk-through in docs/discover.md: your own class and a folder, to names and predictions."""

import csv
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from collapse_lit.cli import main

OWN = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(3, 3, 1)
        self.classify = torch.nn.Linear(3, 2)
        with torch.no_grad():
            self.features.weight[:, :, 0, 0] = torch.eye(3)
            self.features.bias.zero_()
            self.classify.weight[:] = torch.tensor([[0, 0, -1.0], [0, 0, 1]])  # blue is sky
            self.classify.bias[:] = torch.tensor([0.3, -0.3])

    def forward(self, images):
        return self.classify(self.features(images).mean((2, 3)))
"""
FIELD = re.compile(
    r'<input class="name" data-cluster="(\d+)" data-coarse="(\w+)" data-size="(\d+)"'
)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch) -> Path:
    """A folder with the class, its weights, labelled photos and new ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_network_at_home.py").write_text(OWN)
    sys.modules.pop("own_network_at_home", None)
    import own_network_at_home
    import torch

    torch.save(own_network_at_home.Net().state_dict(), "mine.pt")
    for i in range(40):
        for name, colour in (("red", (200 + i, 9, 9)), ("green", (9, 200 + i, 9))):
            save(tmp_path / "photos/berry" / f"{name}{i}.png", colour)
        save(tmp_path / "photos/sky" / f"{i}.png", (9, 9, 200 + i))
    save(tmp_path / "new/a/1.png", (222, 20, 20))
    save(tmp_path / "new/2.png", (20, 222, 20))
    save(tmp_path / "new/3.png", (20, 20, 222))
    return tmp_path


def save(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def test_from_a_class_and_a_folder_to_predictions(at_home: Path, capsys) -> None:
    network = ["--model", "own_network_at_home.Net", "--weights", "mine.pt", "--image_size", "8"]
    found = ["discover", *network, "--images", "photos", "--k", "{berry: 2, sky: 1}"]
    assert main([*found, "--out", "found"]) == 0
    assert "The classifier is right on 100.0 % of 120 samples" in capsys.readouterr().out
    fields = FIELD.findall((at_home / "found/report.html").read_text())
    with (at_home / "found/clusters.csv").open(newline="") as file:
        example = {
            row["cluster"]: Path(row["path"]).stem.rstrip("0123456789")
            for row in csv.DictReader(file)
        }
    typed = "\n".join(f'{n},"{c}",{size},"{example[n] or "blue"}"' for n, c, size in fields)
    (at_home / "downloaded.csv").write_text(f"cluster,coarse,size,name\n{typed}\n")
    assert main(["discover", "--out", "found", "--names", "downloaded.csv"]) == 0
    assert (
        main(
            ["predict", "--probe", "found/probe.npz", *network, "--images", "new", "--out", "p.csv"]
        )
        == 0
    )
    with (at_home / "p.csv").open(newline="") as file:
        names = {row["path"]: row["name"] for row in csv.DictReader(file)}
    assert names == {"new/2.png": "green", "new/3.png": "blue", "new/a/1.png": "red"}
