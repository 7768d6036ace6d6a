"""Mistakes in a command are reported before training, decoding images or writing files."""

import logging
from pathlib import Path

import pytest
import yaml
from reliability.processes import ROOT, VECTORS

from collapse_lit.cli import main
from collapse_lit.data import imagefolder
from collapse_lit.models import CoarseClassifier
from collapse_lit.tracking.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("one_figure")

NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, units=16):
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, units))
    def forward(self, images):
        return self.layer(images)
"""
QUICK = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--trainer.limit_train_batches", "2", "--wandb.mode", "disabled"),
    *("--trainer.enable_model_summary", "false", "--trainer.max_epochs", "1"),
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    """With a network of the user's, as the README has it."""
    (tmp_path / "mynets.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_options_of_another_backbone_do_not_stick_to_ones_own(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch.utilities.rank_zero")
    arguments = ["fit", *QUICK, "--run_dir", "run", "--model.backbone", "mynets.Net"]
    assert main(arguments) == 0
    assert "{'width': 64} are for small_cnn, so mynets.Net ignores them" in caplog.text
    model = yaml.safe_load(Path("run/config.yaml").read_text())["model"]
    assert (model["backbone"], model["backbone_args"]) == ("mynets.Net", None)
    assert main([*arguments, "--trainer.max_epochs", "2"]) == 0  # it is the same experiment
    assert len(RunDirectory("run").read_history()) == 2


def test_options_that_the_command_line_gives_count(tmp_path: Path) -> None:
    step = ["fit", *QUICK, "--trainer.fast_dev_run", "1", "--model.backbone=mynets.Net"]
    assert main([*step, "--model.backbone_args", "{units: 8}"]) == 0
    assert main([*step, "--model.backbone_args", "{colours: 8}"]) == 2


def test_the_backbone_of_the_configuration_keeps_its_options(tmp_path: Path, monkeypatch) -> None:
    widths = []
    monkeypatch.setattr(
        CoarseClassifier, "on_fit_start", lambda self: widths.append(self.head.in_features)
    )
    step = ["fit", *QUICK, "--trainer.fast_dev_run", "1", "--model.backbone", "small_cnn"]
    assert main(step) == 0
    assert widths == [4 * 64]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--model.backbone", "mynets.Nett"], "cannot be imported"),
        (["--data.num_coarse", "11"], "data.num_coarse=11"),
        (["--recovery.k", "41"], "recovery.k: 41 clusters for coarse class 0, which has 40"),
        (["--recovery.k", "[2, 2]"], "recovery.k: 2 numbers given for 5 coarse classes"),
        (["--recovery.k", "[2, null, 41, 2, 2]"], "recovery.k: 41 clusters for coarse class 2"),
        (["--recovery.space", "ica/gmm"], "recovery.space: space 'ica/gmm' is unknown"),
        (["--recovery.space", "raw/gmm", "--recovery.k", "auto"], "needs a whitened space"),
        (["--recovery.mirror", "true"], "recovery.mirror and recovery.shift need images"),
        (["--trainer.max_steps", "1"], "trainer.max_steps=1"),
        (["--trainer.callbacks+=LearningRateMonitor"], "no logger"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refused_start_leaves_no_skeleton(
    wrong: list[str], said: str, capsys, monkeypatch
) -> None:
    steps = []
    monkeypatch.setattr(CoarseClassifier, "training_step", lambda *_: steps.append(1))
    arguments = [*VECTORS, "--trainer.max_epochs", "2", *wrong]
    assert main(["fit", *arguments, "--run_dir", "runs/new"]) == 2
    assert said in capsys.readouterr().err
    assert not steps
    assert not Path("runs").exists()
    Path("kept").mkdir()
    Path("kept/notes.txt").write_text("mine")
    assert main(["fit", *arguments, "--run_dir", "kept"]) == 2
    assert [path.name for path in Path("kept").iterdir()] == ["notes.txt"]


def test_a_refused_start_leaves_a_run_as_it_was(capsys) -> None:
    data = ["fit", *VECTORS, "--trainer.max_epochs", "1", "--run_dir", "run"]
    assert main(data) == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert main([*data, "--model.lr", "7", "--trainer.max_epochs", "2"]) == 2
    after = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    assert after == before


def test_a_label_map_is_checked_before_images_are_decoded(capsys, monkeypatch) -> None:
    from PIL import Image

    for split in ("train", "test"):
        for name in ("cat", "dog", "fly"):
            Path("images", split, name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(f"images/{split}/{name}/1.png")
    Path("groups.yaml").write_text("animal: [cat, dogg]\ninsect: [fly]\n")
    decoded = []
    monkeypatch.setattr(imagefolder, "cached_images", lambda *_: decoded.append(1))
    arguments = ["--data.source", "imagefolder", "--data.root", "images", "--run_dir", "run"]
    assert main(["fit", *QUICK, *arguments, "--data.coarse", "groups.yaml"]) == 2
    assert "'dogg' (in 'animal') is not a class of this data set" in capsys.readouterr().err
    assert not decoded
    assert not Path("run").exists()


def test_the_configuration_that_is_kept_is_whole() -> None:
    assert main(["fit", *QUICK, "--run_dir", "run"]) == 0
    kept = yaml.safe_load(Path("run/config.yaml").read_text())
    assert kept["trainer"]["max_epochs"] == 1
    assert kept["trainer"]["limit_train_batches"] == 2
    assert main(["fit", "--config", "run/config.yaml", "--run_dir", "again"]) == 0
    assert RunDirectory("again").read_history() == RunDirectory("run").read_history()
