import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> ModuleType:
    """An example, imported from its file."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_monitors_work_in_a_project_that_knows_nothing_of_them(tmp_path) -> None:
    logged = load("own_project").main(epochs=5, report=str(tmp_path / "seen"))
    assert (tmp_path / "seen/report.html").exists()
    assert logged["train/acc_coarse"] > 0.9
    assert 0 < logged["collapse/nc1"] < 1
    assert logged["recovery/floor"] < 0.65 < logged["recovery/probe_test"]


def test_even_and_odd_photos_come_with_a_network_that_was_taught_just_that(tmp_path) -> None:
    assert load("even_odd").main(tmp_path, epochs=1) > 0.7
    assert len(list(tmp_path.glob("photos/*/*.png"))) == 1400
    assert len(list(tmp_path.glob("new/*.png"))) == 397
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert weights["fc.weight"].shape == (2, 512)
    table = list(csv.DictReader((tmp_path / "labels.csv").read_text().splitlines()))
    assert {(row["label"], int(row["fine"]) % 2) for row in table} == {("even", 0), ("odd", 1)}


def test_strips_show_members_of_each_cluster(tmp_path, monkeypatch) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (28, 28), colour).save(tmp_path / f"{name}.png")
    rows = [f"{tmp_path}/{name}.png,letter,{i}" for i, name in enumerate("ab")]
    (tmp_path / "clusters.csv").write_text("\n".join(["path,coarse,cluster", *rows]) + "\n")
    arguments = ["strips.py", str(tmp_path / "clusters.csv"), str(tmp_path / "out.png")]
    monkeypatch.setattr("sys.argv", arguments)
    load("strips").main()
    with Image.open(tmp_path / "out.png") as sheet:
        colours = [c for _, c in sheet.convert("RGB").getcolors(99999)]
    assert {(255, 0, 0), (0, 0, 255)} <= set(colours)


def test_names_are_compared_with_folders_worst_first(tmp_path, monkeypatch, capsys) -> None:
    rows = ["d/cat/1.png,cat", "d/cat/2.png,dog", "d/dog/1.png,dog", "d/dog/2.png,dog"]
    (tmp_path / "p.csv").write_text("\n".join(["path,name", *rows]) + "\n")
    monkeypatch.setattr("sys.argv", ["by_folder.py", str(tmp_path / "p.csv")])
    load("by_folder").main()
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["cat", "2", "50.0%", "dog", "1"],
        ["dog", "2", "100.0%"],
        ["all", "4", "75.0%"],
    ]
