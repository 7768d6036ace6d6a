import shutil
from pathlib import Path

import pytest
import torch
import yaml

from collapse_lit.cli import main
from collapse_lit.discover import runs
from collapse_lit.discover.runs import TrainedRun, run_samples
from collapse_lit.errors import UserError
from collapse_lit.features import further_views
from collapse_lit.tracking.run_directory import RunDirectory

QUICKSTART = str(Path(__file__).parents[2] / "configs/quickstart.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that hardly began."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    arguments = ["fit", "--config", QUICKSTART, "--run_dir", str(folder)]
    arguments += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]
    arguments += ["--trainer.accelerator", "cpu", "--wandb.mode", "disabled"]
    assert main([*arguments, "--model.backbone_args", "{width: 4}"]) == 0
    return folder


def test_the_training_set_comes_with_its_names(run: Path) -> None:
    samples = run_samples(run)
    assert samples.features.shape == (1297, 16)
    assert samples.coarse_names == ("0+5", "1+6", "2+7", "3+8", "4+9")
    assert samples.fine is not None
    assert samples.fine_names == ("0", "5", "1", "6", "2", "7", "3", "8", "4", "9")
    assert torch.equal(samples.fine_to_coarse[samples.fine], samples.coarse)
    assert samples.picture is not None
    assert samples.picture(0).size == (8, 8)
    assert len(run_samples(run, split="test")) == 500


def test_a_run_that_looked_at_mirror_images_is_read_so_again(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mirrored"
    shutil.copytree(run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["recovery"] |= {"mirror": True, "shift": True}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    data, views = runs._data_and_views(RunDirectory(copy), "train")
    assert views == further_views(mirror=True, shift=True)["train"]
    views = runs._data_and_views(RunDirectory(copy), "test")[1]
    assert views == further_views(mirror=True, shift=True)["test"]
    model = runs._classifier(copy / "checkpoints/last.ckpt").eval()
    images = torch.cat([batch[0] for batch in data.clean_dataloaders()["train"]])
    with torch.no_grad():
        expected = (model.backbone(images) + model.backbone(images.flip(-1))) / 2
    samples = run_samples(copy)
    torch.testing.assert_close(samples.features, expected)
    assert samples.origin["views"] == 2
    assert not torch.allclose(run_samples(run).features, expected)


def test_a_run_that_is_none_is_named(run: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(UserError, match=r"this is not a run directory: config\.yaml is missing"):
        run_samples(tmp_path)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"the checkpoint .*last\.ckpt is missing"):
        run_samples(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    loaded = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    loaded["hyper_parameters"]["backbone_args"] = {"width": 8}
    torch.save(loaded, tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt: this is a checkpoint of another model"):
        run_samples(tmp_path)
    assert main(["discover", "--run", str(tmp_path), "--out", str(tmp_path / "found")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("collapse-lit: error: ")
    assert "this is a checkpoint of another model" in said
    assert said.count("\n") == 1
    (tmp_path / "config.yaml").write_text("data: {source: digits, colour: red}")
    with pytest.raises(UserError, match=r"config\.yaml: this is not the configuration of a run"):
        run_samples(tmp_path)


@pytest.mark.parametrize("fine", [False, True])
def test_new_images_are_prepared_as_the_runs_own(run: Path, tmp_path: Path, fine: bool) -> None:
    own = run_samples(run)
    assert own.picture is not None
    assert own.fine is not None
    for row in range(60):
        name = (
            own.fine_names[int(own.fine[row])] if fine else own.coarse_names[int(own.coarse[row])]
        )
        (tmp_path / "new" / name).mkdir(parents=True, exist_ok=True)
        own.picture(row).save(tmp_path / "new" / name / f"{row:02}.png")
    trained = TrainedRun(run, checkpoint="last")
    samples = trained.samples_of(tmp_path / "new")
    rows = [int(Path(path).stem) for path in samples.paths or ()]
    torch.testing.assert_close(samples.features, own.features[rows])
    assert samples.coarse_names == own.coarse_names
    assert torch.equal(samples.coarse, own.coarse[rows])
    assert (samples.fine is not None) == fine
    assert samples.predictions is not None
    assert own.predictions is not None
    assert torch.equal(samples.predictions.ids, own.predictions.ids[rows])
    features, paths = trained.features_of(tmp_path / "new")
    torch.testing.assert_close(features, samples.features)
    assert paths == samples.paths


def test_a_checkpoint_may_be_named(run: Path) -> None:
    assert run_samples(run, checkpoint="last.ckpt").origin["checkpoint"] == "last.ckpt"
    with pytest.raises(UserError, match=r"--checkpoint epoch_9: .*the run has last\.ckpt"):
        run_samples(run, checkpoint="epoch_9")
