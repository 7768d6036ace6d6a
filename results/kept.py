"""The runs that results are built from: kept small, in results/runs."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.models import make_backbone

HERE = Path(__file__).parent
KEPT = ("config.yaml", "history.jsonl", "summary.json")
SHAPE = (3, 32, 32)  # of an image of CIFAR-10 or CIFAR-100
IMAGES = (50_000, 40_000)  # of CIFAR-10, and of CIFAR-100 as far as it was trained on
SCATTER = "resnet/further0"  # the run whose scatter of training images is kept and drawn

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One kept run: its name below results/runs, configuration, measured epochs and distances."""

    name: str
    config: Mapping[str, Any]
    history: Sequence[Row]
    minutes: float
    distances: Sequence[Mapping[str, Any]]

    @property
    def last(self) -> Row:
        """The last measured epoch."""
        return self.history[-1]

    @property
    def chosen(self) -> Row:
        """The row of the epoch chosen without fine labels; the last where none qualifies."""
        selected = select_epoch(self.history) or self.last
        return next(row for row in self.history if row["epoch"] == selected["epoch"])

    @property
    def petaflop(self) -> float:
        """Multiplications and additions of training, forward and backward, ÷ 10¹⁵."""
        model = self.config["model"]
        per_image = _flop_of_an_image(model["backbone"], json.dumps(model["backbone_args"]))
        images = IMAGES[self.config["data"]["coarse"] == "cifar100"]
        return per_image * images * (self.last["epoch"] + 1) / 1e15


@cache
def _flop_of_an_image(backbone: str, options: str) -> float:
    network, _ = make_backbone(backbone, SHAPE, **json.loads(options) or {})
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, *SHAPE)).sum().backward()
    return counter.get_total_flops() / 2


def read_runs() -> dict[str, Run]:
    """All kept runs by name."""
    return {run.name: run for run in _runs(HERE / "runs")}


def _runs(folder: Path) -> Iterator[Run]:
    for path in sorted(folder.rglob("history.jsonl")):
        yield Run(
            str(path.parent.relative_to(folder)),
            yaml.safe_load((path.parent / "config.yaml").read_text()),
            [json.loads(line) for line in path.read_text().splitlines()],
            json.loads((path.parent / "summary.json").read_text())["wall_seconds"] / 60,
            _distances_of(path.parent),
        )


def _distances_of(run: Path) -> Sequence[Mapping[str, Any]]:
    path = run / "distances.json"  # runs of before it was kept have none
    return json.loads(path.read_text()) if path.exists() else []


def keep(run_dir: Path) -> None:
    """Copy the small files of a run, or of the runs below a folder, into results/runs."""
    for path in sorted(run_dir.rglob("history.jsonl")):
        target = HERE / "runs" / run_dir.name / path.parent.relative_to(run_dir)
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copy(path.parent / name, target / name)
        snapshots = sorted((path.parent / "snapshots").glob("epoch_*.npz"))
        distances = [found for file in snapshots if (found := _distances(file))]
        if distances:
            (target / "distances.json").write_text(json.dumps(distances) + "\n")
        if target == HERE / "runs" / SCATTER:
            shutil.copy(snapshots[-1], target / "scatter.npz")


def _distances(snapshot: Path) -> dict[str, Any]:
    """Mean squared distances between fine classes, and which classes they are.

    A fine class without a sample in the scatter has the coarse class -1.
    """
    with np.load(snapshot) as arrays:
        if "class_distances" not in arrays:
            return {}
        fine_to_coarse = np.full(len(arrays["fine_names"]), -1)
        fine_to_coarse[arrays["fine"]] = arrays["coarse"]  # of the samples that are drawn
        return {
            "epoch": int(snapshot.stem.removeprefix("epoch_")),
            "coarse": arrays["coarse_names"].tolist(),
            "fine": arrays["fine_names"].tolist(),
            "fine_to_coarse": fine_to_coarse.tolist(),
            "distances": arrays["class_distances"].round(3).tolist(),
        }
