"""Planted sub-classes: "cat" has two, far apart; "dog" has one."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EACH = 150  # samples of each sub-class
FINE = ("tabby", "siamese", "dog")


@dataclass
class Planted:
    folder: Path
    features: np.ndarray  # (450, 6)
    labels: list[str]
    fine: list[str]

    @property
    def files(self) -> list[str]:
        """Arguments that name the files of features and labels."""
        return [f"--features={self.folder / 'f.npy'}", f"--labels={self.folder / 'l.csv'}"]

    def write(self, **columns: list[str]) -> "Planted":
        np.save(self.folder / "f.npy", self.features)
        with (self.folder / "l.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", *columns])
            writer.writerows(zip(self.labels, *columns.values(), strict=True))
        return self


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    fine = [FINE[i % 3] for i in range(3 * EACH)]
    centres = {"tabby": [4, 0], "siamese": [-4, 0], "dog": [0, 9]}
    features = np.random.default_rng(0).normal(size=(len(fine), 6)).astype(np.float32)
    features[:, :2] += np.array([centres[name] for name in fine], dtype=np.float32)
    labels = ["dog" if name == "dog" else "cat" for name in fine]
    return Planted(tmp_path, features, labels, fine).write()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight plain pictures in two class folders: red and green ones, and blue ones."""
    for i, colour in enumerate(["red", "green"] * 2 + ["blue"] * 4):
        folder = tmp_path / "photos" / ("sky" if colour == "blue" else "berry")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 32), colour).save(folder / f"{i}-{colour}.jpg")
    return tmp_path / "photos"
