"""Your own data source, and a validation set instead of the test set."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from collapse_lit.cli import main
from collapse_lit.data import CoarseDataModule, LabelledImages, Split
from collapse_lit.errors import UserError

ROOT = Path(__file__).parents[2]
QUICK = [
    *("fit", "--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--wandb.mode", "disabled", "--trainer.enable_model_summary", "false"),
]


@pytest.mark.usefixtures("one_figure")
def test_the_example_trains_on_its_own_images(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    coarse = "{lines: ['—', '|'], slopes: ['/', '\\']}"
    own = ["--data.source", "own_source.load", "--data.coarse", coarse]
    assert main([*QUICK, "--run_dir", "run", *own, "--trainer.max_epochs", "3"]) == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["test/acc_coarse"] > 0.9
    assert summary["recovery/clp_test"] > 0.9
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["data"]["source"] == "own_source.load"


def _data(images: torch.Tensor, labels: torch.Tensor, names=("a", "b")) -> LabelledImages:
    good = Split(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4) % 2)
    return LabelledImages(Split(images, labels), good, names)


IMAGES, LABELS = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4) % 2


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ((IMAGES, LABELS), "returned tuple, not collapse_lit.data.LabelledImages"),
        (_data(IMAGES.float(), LABELS), "uint8 or vectors"),
        (_data(IMAGES, LABELS.int()), "return (N,) int64"),
        (_data(IMAGES, LABELS[:3]), "for 4 images"),
        (_data(IMAGES[:0], LABELS[:0]), "for at least one image"),
        (_data(IMAGES, LABELS + 1), "labels from 1 to 2 for 2 fine_names"),
        (_data(IMAGES[:, :, 1:], LABELS), "of different shapes"),
    ],
)
def test_what_cannot_be_used_is_said_with_what_would_be_right(
    returned, said: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "mine.py").write_text("def load(root):\n    return answer\nnumber = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import mine

    monkeypatch.setattr(mine, "answer", returned, raising=False)
    assert main([*QUICK, "--run_dir", "run", "--data.source", "mine.load"]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "data.source: mine.load" in message
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.gone", "cannot be imported"),
        ("mine.number", "is not a function"),
        ("digit", "digits"),
    ],
)
def test_a_source_that_is_not_there_is_one_message(name, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("number = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main([*QUICK, "--run_dir", str(tmp_path / "run"), "--data.source", name]) == 2
    assert said in capsys.readouterr().err


def test_validation_takes_the_place_of_the_test_set() -> None:
    whole = CoarseDataModule("digits").labelled
    data = CoarseDataModule("digits", validation=200)
    assert len(data.labelled.train.labels) == 1097
    assert len(data.labelled.test.labels) == 200
    rows = torch.cat([data.rows["train"], data.rows["test"]])
    assert rows.sort().values.equal(torch.arange(1297))  # each training image once, no other
    for name, split in (("train", data.labelled.train), ("test", data.labelled.test)):
        assert split.images.equal(whole.train.images[data.rows[name]])
        assert split.labels.equal(whole.train.labels[data.rows[name]])
    again, other = (CoarseDataModule("digits", validation=200, seed=s).labelled for s in (0, 1))
    assert again.test.images.equal(data.labelled.test.images)
    assert not other.test.images.equal(data.labelled.test.images)


def test_some_images_must_stay_to_train_on() -> None:
    with pytest.raises(
        UserError, match=r"data\.validation=1297: there are only 1297 training images"
    ):
        _ = CoarseDataModule("digits", validation=1297).labelled
    with pytest.raises(UserError, match=r"data\.validation=-1: must be at least 0"):
        CoarseDataModule("digits", validation=-1)


def test_paths_of_a_run_are_those_of_the_images_that_stayed(tmp_path: Path) -> None:
    from PIL import Image

    from collapse_lit.discover.runs import _paths

    for split, shade in (("train", 0), ("test", 100)):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(5):
                grey = shade + 10 * number + (5 if name == "b" else 0)
                picture = Image.new("RGB", (8, 8), (grey, grey, grey))
                picture.save(tmp_path / split / name / f"{number}.png")
    data = CoarseDataModule("imagefolder", tmp_path, coarse="identity", validation=4)
    for split, images in (("train", data.labelled.train), ("test", data.labelled.test)):
        paths = _paths(data, split)
        assert len(paths) == len(images.labels)
        for path, image in zip(paths, images.images, strict=True):
            assert Image.open(path).getpixel((0, 0))[0] == image[0, 0, 0]
            assert "/train/" in path
