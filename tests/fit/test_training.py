"""The whole main job, as a user runs it, on a run small enough for a test."""

import json
import logging
from pathlib import Path

import pytest
import torch
import wandb
import yaml
from plotly.offline import get_plotlyjs
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows

pytestmark = pytest.mark.usefixtures("one_figure")

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SMALL = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--model.backbone_args", "{width: 4}", "--trainer.limit_train_batches", "6"),
    *("--wandb.mode", "disabled", "--trainer.enable_model_summary", "false"),
]


def fit(run_dir: Path, *arguments: str, data: list[str] = SMALL) -> RunDirectory:
    assert main(["fit", *data, "--run_dir", str(run_dir), *arguments]) == 0
    return RunDirectory(run_dir)


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return torch.load(run.last_checkpoint, weights_only=True)["state_dict"]


def assert_same_weights(one: RunDirectory, other: RunDirectory) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory) -> RunDirectory:
    """A run with all its figures."""
    return fit(tmp_path_factory.mktemp("runs") / "whole", "--trainer.max_epochs", "3")


@pytest.mark.slow
def test_a_run_leaves_a_whole_run_directory(three_epochs: RunDirectory) -> None:
    run = three_epochs
    history = run.read_history()
    assert [row["epoch"] for row in history] == [0, 1, 2]
    for key in (
        *("train/loss", "train/acc_coarse", "test/acc_coarse", "collapse_fine/explained"),
        *(f"collapse/{k}" for k in ("nc1", "nc1_trace", "cdnv", "vci", "nc2_equinorm")),
        *(f"collapse/{k}" for k in ("nc2_equiangular", "nc2_etf", "nc3", "nc4")),
        *("collapse_test/nc1", "collapse_fine/nc1", "recovery/acc", "recovery/acc_raw"),
        *(f"recovery/{k}" for k in ("nmi", "ari", "acc_macro", "clp_test", "probe_test")),
        *("recovery/floor", "recovery/stability", "recovery/silhouette"),
    ):
        assert all(isinstance(row[key], float) for row in history), key
    for row in history:
        of_coarse = row["recovery/acc_of_coarse"]
        assert len(of_coarse) == len(row["recovery/space"]) == 5
        assert min(of_coarse) <= row["recovery/acc"] <= max(of_coarse)
    summary = json.loads(run.summary.read_text())
    assert {key: summary[key] for key in history[-1]} == history[-1]
    assert summary["wall_seconds"] > 0
    assert summary["selected"]["epoch"] in (0, 1, 2)
    assert len(summary["selected"]["space"]) == 5
    identity = json.loads(run.identity.read_text())
    assert identity["name"] == "whole"
    assert identity["wandb_id"]
    for name in ("recovery", "collapse", "distances", "residuals"):
        assert (run.figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = run.report.read_text()
    drawn = page.count('class="chart"')  # recovery, five scatters, the heat map, NC1 to NC4 and kin
    assert drawn >= 11
    assert "data:image/webp;base64," in page
    ours = page.replace(get_plotlyjs(), "").split("<pre>")[0]
    assert "://" not in ours


@pytest.mark.slow
def test_the_saved_configuration_repeats_the_run(
    three_epochs: RunDirectory, tmp_path: Path
) -> None:
    arguments = ["fit", "--config", str(three_epochs.config), "--run_dir", str(tmp_path / "again")]
    assert main(arguments) == 0
    again = RunDirectory(tmp_path / "again")
    assert_same_weights(three_epochs, again)
    assert again.read_history() == three_epochs.read_history()


@pytest.mark.slow
def test_a_row_lost_between_checkpoint_and_history_comes_back(tmp_path: Path) -> None:
    run = fit(tmp_path / "run", "--trainer.max_epochs", "2", data=VECTORS)
    whole = run.history.read_text()
    run.history.write_text(whole.splitlines(keepends=True)[0])
    fit(tmp_path / "run", "--trainer.max_epochs", "3", data=VECTORS)
    assert [row["epoch"] for row in run.read_history()] == [0, 1, 2]
    assert run.history.read_text().startswith(whole)


@pytest.mark.slow
def test_a_run_made_longer_says_that_its_learning_rate_is_another(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "lightning.pytorch.utilities.rank_zero")
    fit(tmp_path / "run", "--trainer.max_epochs", "1", data=VECTORS)
    assert "the length of the run changes" not in caplog.text
    fit(tmp_path / "run", "--trainer.max_epochs", "2", data=VECTORS)
    assert "the length of the run changes from 1 to 2 epochs" in caplog.text


@pytest.mark.long
@pytest.mark.slow
def test_muon_goes_on_where_it_stopped(tmp_path: Path) -> None:
    muon = ["--model.filter_lr", "0.05", "--model.schedule", "constant", "--trainer.max_epochs"]
    whole = fit(tmp_path / "whole", *muon, "3")
    fit(tmp_path / "cut", *muon, "1")
    cut = fit(tmp_path / "cut", *muon, "3")
    assert_same_weights(whole, cut)
    assert cut.read_history() == whole.read_history()


@pytest.mark.slow
def test_a_broken_last_checkpoint_is_named_and_the_one_before_used(tmp_path: Path, capfd) -> None:
    arguments = ["--checkpoint_every", "1", "--trainer.max_epochs"]
    run = fit(tmp_path / "run", *arguments, "2", data=VECTORS)
    run.last_checkpoint.write_bytes(run.last_checkpoint.read_bytes()[:1000])
    (run.checkpoints / "epoch_001.ckpt").unlink()
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be used"):
        fit(tmp_path / "run", *arguments, "3", data=VECTORS)
    assert [row["epoch"] for row in run.read_history()] == [0, 1, 2]


@pytest.mark.slow
def test_training_never_sees_a_fine_label(
    three_epochs: RunDirectory, tmp_path: Path, monkeypatch
) -> None:
    """Fine labels shuffled inside coarse classes must leave every weight as it is."""
    from collapse_lit.data.labelled import LabelledImages, Split
    from collapse_lit.data.sources import load_source

    def shuffled(*arguments) -> LabelledImages:
        data = load_source(*arguments)
        labels = data.train.labels.clone()
        for coarse in range(5):
            inside = torch.where(labels % 5 == coarse)[0]
            order = torch.randperm(len(inside), generator=torch.Generator().manual_seed(1))
            labels[inside] = labels[inside[order]]
        assert (labels != data.train.labels).float().mean() > 0.3
        return LabelledImages(Split(data.train.images, labels), data.test, data.fine_names)

    monkeypatch.setattr("collapse_lit.data.datamodule.load_source", shuffled)
    mixed = fit(tmp_path / "mixed", "--trainer.max_epochs", "3")
    assert_same_weights(three_epochs, mixed)
    ceilings = [run.read_history()[-1]["recovery/probe_test"] for run in (three_epochs, mixed)]
    assert ceilings[0] != ceilings[1]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_runs_a_step(config: Path, image_folder: Path) -> None:
    arguments = ["--data.batch_size", "8", "--trainer.accelerator", "cpu"]
    data = yaml.safe_load(config.read_text())["data"]
    if data["coarse"] == "cifar100":  # it needs the names of CIFAR-100's classes
        arguments += ["--data.coarse", "mod"]
    if data["source"] != "digits":
        arguments += ["--data.source", "imagefolder", "--data.root", str(image_folder)]
        arguments += ["--data.num_coarse", "2", "--trainer.devices", "1"]
    if data.get("image_size", 0) > 32:  # too large for this step
        arguments += ["--data.image_size", "32"]
    if "start_from" in config.read_text():  # another configuration's run, which is not there
        arguments += ["--model.start_from", "null"]
    assert main(["fit", "--config", str(config), *arguments, "--trainer.fast_dev_run", "1"]) == 0


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Four classes of six coloured 32×32 images, training and test."""
    from PIL import Image

    for split in ("train", "test"):
        for number, name in enumerate(("apple", "bee", "cat", "dog")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(12):
                colour = (60 * number, 20 * i, 100)
                Image.new("RGB", (32, 32), colour).save(folder / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_wandb_keeps_one_offline_run_over_a_resume(tmp_path: Path) -> None:
    """What would be uploaded, read from W&B's own files."""
    for epochs in ("1", "2"):
        arguments = ["--trainer.max_epochs", epochs, "--wandb.mode", "offline"]
        fit(tmp_path / "run", *arguments, data=VECTORS)
    wandb.teardown()  # its service writes the last rows in its own time; the end of a process waits
    run = RunDirectory(tmp_path / "run")
    identity = json.loads(run.identity.read_text())
    files = sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [file.stem for file in files] == [f"run-{identity['wandb_id']}"] * 2
    epochs = []
    for file in files:
        rows = history_rows(file)
        assert sum("figures/recovery.path" in row for row in rows) == 1
        epochs += [row["epoch"] for row in rows if "recovery/clp_test" in row]
        values = [row["collapse/nc1"] for row in rows if "collapse/nc1" in row]
        known = [row["collapse/nc1"] for row in run.read_history() if row["epoch"] == epochs[-1]]
        assert values == pytest.approx(known)
    assert epochs == [0, 1]
