"""The full command, as a user runs it."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from plotly.offline import get_plotlyjs

from collapse_lit.cli import main


def discover(*arguments: str) -> int:
    return main(["discover", *arguments])


def test_three_files_say_what_was_found(planted, capsys) -> None:
    out = planted.folder / "deep" / "found"
    assert discover(*planted.files, "--out", str(out)) == 0
    with (out / "clusters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "coarse", "cluster", "confidence", "margin"]
    assert [row["cluster"] for row in rows[:6]] == ["0", "1", "2"] * 2
    assert [row["index"] for row in rows] == [str(i) for i in range(450)]
    assert rows[2]["coarse"] == "dog"

    summary = json.loads((out / "clusters.json").read_text())
    cat, dog = summary["classes"]
    assert (cat["class"], cat["verdict"], cat["samples"]) == ("cat", "distinct", 300)
    assert [cluster["samples"] for cluster in cat["clusters"]] == [150, 150]
    assert dog["sentences"] == ["no sub-structure found"]
    assert summary["parameters"] == {"k": "auto", "space": "auto", "seed": 0}
    assert "torch" in summary["versions"]
    assert (out / "names.csv").read_text().splitlines() == [
        "cluster,coarse,size,name",
        "0,cat,150,",
        "1,cat,150,",
        "2,dog,150,",
    ]
    assert "no sub-structure found" in (out / "report.html").read_text()


def test_without_fine_labels_nothing_claims_accuracy(planted, capsys) -> None:
    out = planted.folder / "found"
    assert discover(*planted.files, "--out", str(out)) == 0
    said = capsys.readouterr().out
    for text in (said, *(path.read_text() for path in out.iterdir())):
        text = text.replace(get_plotlyjs(), "")
        assert "accura" not in text.lower()
        assert "mutual" not in text.lower()
    planted.write(fine=planted.fine)
    assert discover(*planted.files, "--out", str(out)) == 0
    assert "accuracy 1.000 (floor 0." in capsys.readouterr().out
    assert json.loads((out / "clusters.json").read_text())["agreement"]["known"] == 450
    assert "fine labels of 450 of 450 samples" in (out / "report.html").read_text()


class Tags(HTMLParser):
    """Every tag of a page that may run something, every picture, and what its charts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.pictures: list[str] = []
        self.held: list[dict] = []
        self._data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._data = tag == "script" and dict(attrs).get("type") == "application/json"
        runs = tag in ("script", "iframe") and not self._data
        if runs or any(name.startswith("on") for name, _ in attrs):
            self.active.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["alt"] or "")

    def handle_data(self, data: str) -> None:
        if self._data:
            self.held.append(json.loads(data))
            self._data = False

    @property
    def charts(self) -> list[dict]:
        return [held for held in self.held if "layout" in held]


EVIL = "<script>alert('1')</script>"
ATTRIBUTE = "\"onerror=alert(1) x='.png"


def test_names_are_escaped_in_the_page(planted) -> None:
    planted.labels = [f"{label}{EVIL}[/red]" for label in planted.labels]
    Image.new("RGB", (4, 4)).save(planted.folder / ATTRIBUTE)
    planted.write(path=[ATTRIBUTE] * 450, fine=[f"<b onclick=x>{name}" for name in planted.fine])
    out = planted.folder / "found"
    assert discover(*planted.files, "--k", "2", "--out", str(out)) == 0
    page = (out / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.active == ["script", "script"]  # Plotly's and ours
    assert set(tags.pictures) == {ATTRIBUTE}
    assert "&lt;script&gt;" in page
    assert EVIL not in page


def test_the_gallery_shows_members_of_each_cluster(planted) -> None:
    for name, colour in (("tabby", "red"), ("siamese", "green"), ("dog", "blue")):
        Image.new("RGB", (200, 100), colour).save(planted.folder / f"{name}.jpg")
    planted.write(path=[f"{name}.jpg" for name in planted.fine])
    out = planted.folder / "found"
    assert discover(*planted.files, "--out", str(out)) == 0
    tags = Tags()
    tags.feed((out / "report.html").read_text())
    assert tags.pictures == ["tabby.jpg"] * 24 + ["siamese.jpg"] * 24 + ["dog.jpg"] * 8
    cat = json.loads((out / "clusters.json").read_text())["classes"][0]
    assert cat["clusters"][1]["medoid"] == "siamese.jpg"
    assert len([held for held in tags.held if "uri" in held]) == 1
    siamese = tags.charts[0]["data"][1]
    assert (siamese["name"], len(siamese["customdata"])) == ("cluster 1", 150)
    tile, *said = siamese["customdata"][0]
    assert tile >= 0
    assert said == ["cluster 1", "confidence 1.00", "siamese.jpg"]


def test_clusters_found_inside_one_cluster_are_named_beside_one_another(planted) -> None:
    kind = np.arange(900) % 3
    planted.features = np.random.default_rng(0).normal(size=(900, 6)).astype(np.float32)
    planted.features[:, 0] += 4 * (kind == 1)
    planted.features[:, 1] += 30 * (kind == 2)  # an easy split, which hides the other
    planted.labels = ["cat"] * 900
    planted.write()
    out = planted.folder / "found"
    assert discover(*planted.files, "--out", str(out)) == 0
    cat = json.loads((out / "clusters.json").read_text())["classes"][0]
    assert [cluster["parent"] for cluster in cat["clusters"]] == [0, 0, 1]
    page = (out / "report.html").read_text()
    assert page.count("they were found by dividing one distinct cluster again") == 2
    assert "Beside cluster 1:" in page.split('id="cluster-0"')[1].split('id="cluster-1"')[0]


def test_points_without_pictures_have_their_number(planted) -> None:
    out = planted.folder / "found"
    assert discover(*planted.files, "--out", str(out)) == 0
    tags = Tags()
    tags.feed((out / "report.html").read_text())
    assert [held for held in tags.held if "uri" in held] == []
    assert tags.charts[1]["data"][0]["customdata"][0][0] == -1
    assert tags.charts[1]["data"][0]["customdata"][0][3] == "sample 2"


def test_the_page_says_that_sub_structure_is_doubtful(planted) -> None:
    out = planted.folder / "found"
    assert discover(*planted.files, "--k", "{dog: 3}", "--out", str(out)) == 0
    page = (out / "report.html").read_text()
    section = page.split('<section id="class-1">')[1].split("</section>")[0]
    assert '<span class="verdict doubtful">doubtful</span>' in section
    assert "doubtful: 3 clusters fit it no better than one" in section


def test_a_folder_of_images_from_discovery_to_prediction(photos: Path, tmp_path: Path) -> None:
    network = ["--model", "mobilenet_v3_small", "--images", str(photos), "--image_size", "32"]
    out = tmp_path / "found"
    assert discover(*network, "--k", "{berry: 2, sky: 1}", "--out", str(out)) == 0
    summary = json.loads((out / "clusters.json").read_text())
    assert [entry["k"] for entry in summary["classes"]] == [2, 1]
    assert any("random weights" in warning for warning in summary["warnings"])
    names = (out / "names.csv").read_text().splitlines()
    (out / "names.csv").write_text(
        "\n".join([names[0], *(row + f"name {i}" for i, row in enumerate(names[1:]))])
    )
    assert discover("--out", str(out), "--names", str(out / "names.csv")) == 0
    probe = ["--probe", str(out / "probe.npz"), "--out", str(tmp_path / "p.csv")]
    assert main(["predict", *probe, *network]) == 0
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert rows[0] == "path,name,confidence"
    assert len(rows) == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the samples in exactly one way"),
        (["--run", "r", "--features", "f.npy"], "not --features and --run at once"),
        (["--run", "r", "--weights", "x"], "--weights cannot be combined with --run"),
        (["--model", "resnet18"], "--model: add --images FOLDER"),
        (["--run", "nowhere"], "--run nowhere: this is not a run directory"),
        (["--features", "f.npy", "--labels", "l.csv", "--k", "{cat: "], "--k {cat: "),
        (["--features", "f.npy", "--labels", "l.csv", "--k", "151"], "class dog, which has 150"),
        (
            ["--features", "f.npy", "--labels", "l.csv", "--space", "raw/em"],
            "--space: space 'raw/em'",
        ),
        (["--features", "f.npy", "--space", "raw/gmm"], "--space: k='auto', or None for a class"),
        (["--seed", "x"], "--seed: 'x' is not a whole number from 0 to 4294967295"),
        (["--seed", "-1"], "--seed: '-1' is not a whole number from 0"),
        (["--image_size", "0"], "--image_size: '0' is not a whole number from 1"),
        (["--std", "0"], "--std: '0' is not a number above 0"),
        (["--mean", "nan"], "--mean: 'nan' is not a finite number"),
        (["--model", "resnet18", "--mean", "0", "0"], "--mean: got 2 numbers; give one, or three"),
        (["--model", "resnet18", "--model_args", "8"], "'8' is not a mapping"),
        (["--features", "f.npy", "--labels", "l.csv", "--k", "{cat: 2, cat: 3}"], "occurs twice"),
        (["--labelz", "x"], "unrecognized arguments: --labelz x"),
        (["--names", "n.csv", "--run", "r"], "--names works on the discovery in --out"),
    ],
)
def test_a_mistake_is_one_clear_message(
    planted, arguments: list[str], said: str, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(planted.folder)
    assert discover(*arguments, "--out", "found") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage:" not in error
    assert error.count("\n") == 1


def without_numbers(planted) -> list[str]:
    planted.features[7, 2] = np.nan
    planted.write()
    return planted.files


def without_labels(planted) -> list[str]:
    return planted.files[:1]


def with_fewer_labels(planted) -> list[str]:
    del planted.labels[-3:]
    with (planted.folder / "l.csv").open("w") as file:
        file.write("\n".join(["label", *planted.labels]) + "\n")
    return planted.files


def with_broken_images(planted) -> list[str]:
    folder = planted.folder / "photos" / "cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "whole.png")
    (folder / "torn.png").write_bytes((folder / "whole.png").read_bytes()[:40])
    (folder / "text.jpg").write_text("no picture")
    network = ["--model=mobilenet_v3_small", "--image_size=32"]
    return [*network, f"--images={planted.folder / 'photos'}"]


def with_weights_of_another_model(planted) -> list[str]:
    (planted.folder / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(planted.folder / "photos/cat/whole.png")
    weights = torchvision.models.mobilenet_v3_small(num_classes=2).state_dict()
    torch.save(weights, planted.folder / "other.pt")
    network = ["--model=resnet18", f"--weights={planted.folder / 'other.pt'}", "--image_size=32"]
    return [*network, f"--images={planted.folder / 'photos'}"]


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (without_numbers, "f.npy: the features are NaN or infinite in row 7"),
        (without_labels, "the classes of the rows are missing; add --labels"),
        (with_fewer_labels, "l.csv has 447 labels and"),
        (with_broken_images, "2 of 3 images cannot be read; repair or remove"),
        (with_weights_of_another_model, "other.pt: these weights do not fit resnet18"),
    ],
)
def test_bad_input_is_one_clear_message(planted, spoiled, said: str, capsys) -> None:
    assert discover(*spoiled(planted), "--out", str(planted.folder / "found")) == 2
    errors = [e for e in capsys.readouterr().err.splitlines() if e.startswith("collapse-lit")]
    assert len(errors) == 1
    assert errors[0].startswith("collapse-lit: error: ")
    assert said in errors[0]
    assert not (planted.folder / "found" / "clusters.csv").exists()


def test_a_folder_that_cannot_be_written_is_named(planted, capsys) -> None:
    assert discover(*planted.files, "--out", str(planted.folder / "l.csv")) == 2
    assert "cannot write there" in capsys.readouterr().err
    np.savez(planted.folder / "p.npz", names=["a"], mean=[0.0], weight=[[0.0]], bias=[0.0])
    np.save(planted.folder / "one.npy", np.zeros((1, 1)))
    arguments = ["predict", "--probe", f"{planted.folder}/p.npz", "--features"]
    arguments += [f"{planted.folder}/one.npy", "--out", f"{planted.folder}/l.csv/p.csv"]
    assert main(arguments) == 2
    assert "cannot write there" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["discover", "predict"])
def test_help_shows_whole_commands(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"collapse-lit {command} " in shown
    for option in ("--features", "--run", "--model", "--weights", "--layer", "--out"):
        assert option in shown
