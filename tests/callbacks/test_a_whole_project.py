"""A realistic project: dictionaries, a sampler, a compiled network, EMA, TensorBoard."""

import csv
import json
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from anyones import fit
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.discover.command import run_discover
from collapse_lit.measure import neural_collapse

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Digits(Dataset):
    """Images (1, 8, 8) of digits, told as even or odd; each sample is a dictionary."""

    classes = ("even", "odd")

    def __init__(self) -> None:
        digits = load_digits()
        self.images = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
        self.digits = torch.tensor(digits.target)

    def __len__(self) -> int:
        return 600

    def __getitem__(self, index: int) -> dict[str, Any]:
        digit = self.digits[index]
        return {"image": self.images[index], "label": digit % 2, "digit": digit}


class OddOrEven(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.net = torch.compile(nn.Sequential(body, nn.Linear(32, 2)), backend="eager")

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch["image"]), batch["label"])

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.log("val/loss", F.cross_entropy(self(batch["image"]), batch["label"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def parts(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return batch["image"], batch["label"], batch["digit"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The project, trained: everything that it left."""
    folder, digits = tmp_path_factory.mktemp("project"), Digits()
    train, test = (
        DataLoader(digits, batch_size=50, sampler=SubsetRandomSampler(rows))
        for rows in (range(450), range(450, 600))
    )
    collapse = CollapseMonitor("net.1", batch=parts, report=folder / "seen")
    recovery = RecoveryMonitor("net.1", k=5, batch=parts)
    loggers = [TensorBoardLogger(folder / "tb"), CSVLogger(folder / "csv")]
    torch._dynamo.reset()
    net = OddOrEven()
    callbacks = [collapse, recovery, EMAWeightAveraging(decay=0.9)]
    trainer = fit(callbacks, train, test, net, logger=loggers, max_epochs=3)
    return {
        **{"folder": folder, "digits": digits, "net": net, "trainer": trainer},
        **{"collapse": collapse, "recovery": recovery},
    }


def test_nc1_is_that_of_features_taken_by_hand(project: dict[str, Any]) -> None:
    net, digits = project["net"].eval(), project["digits"]
    for key, rows in (("collapse/nc1", slice(450)), ("collapse_test/nc1", slice(450, 600))):
        with torch.no_grad():
            features = net.net._orig_mod[0](digits.images[rows])
        expected = neural_collapse(features, digits.digits[rows] % 2, 2)["nc1"]
        assert project["collapse"].values[key] == pytest.approx(expected, rel=1e-6)
        logged = project["trainer"].callback_metrics[key]
        assert float(logged) == pytest.approx(expected, rel=1e-6)
    assert project["recovery"].values["recovery/clp_test"] > 0.5


def test_the_folder_has_a_page_a_history_and_a_cluster_for_each_sample(project) -> None:
    seen = project["folder"] / "seen"
    rows = [json.loads(line) for line in (seen / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    values = project["collapse"].values | project["recovery"].values
    for key, value in values.items():
        assert rows[-1][key] == (pytest.approx(value) if np.isfinite(value) else None), key
    page = (seen / "report.html").read_text()
    assert "even" in page
    assert "collapse-lit discover --features" in page
    assert {p.stem for p in (seen / "figures").glob("*.png")} == {
        *("recovery", "collapse", "distances", "residuals")
    }
    with np.load(seen / "snapshots/thumbnails.npz") as sprite:
        assert len(sprite["index"]) == 450
    with (seen / "clusters.csv").open() as file:
        clusters = list(csv.DictReader(file))
    found = project["recovery"].recovery
    assert [int(row["index"]) for row in clusters] == list(range(450))
    assert [int(row["cluster"]) for row in clusters] == found.ids.tolist()
    assert {row["coarse"] for row in clusters} == {"even", "odd"}


def test_discover_goes_on_from_the_folder(project: dict[str, Any], tmp_path: Path) -> None:
    seen = project["folder"] / "seen"
    features, labels = seen / "features.npy", seen / "labels.csv"
    run_discover(
        ["--features", str(features), "--labels", str(labels), "--out", str(tmp_path), "--k", "5"]
    )
    assert (tmp_path / "report.html").exists()


def test_the_figures_are_in_tensorboard(project: dict[str, Any]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    file = next((project["folder"] / "tb").rglob("events*"))
    events = EventAccumulator(str(file), size_guidance={"images": 0})
    events.Reload()
    assert {"figures/recovery", "figures/residuals"} <= set(events.Tags()["images"])
    assert len(events.Scalars("collapse/nc1")) == 3
    metrics = next((project["folder"] / "csv").rglob("metrics.csv")).read_text()
    assert "collapse/nc1" in metrics.splitlines()[0]
