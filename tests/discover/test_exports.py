"""Exports of a discovery, opened by the other tools; test_docs.py has more of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lit.cli import main
from collapse_lit.discover.exports import FORMATS
from collapse_lit.discover.options import EXPORTS


@pytest.fixture
def found(planted) -> Path:
    for name, colour in (("tabby", "red"), ("siamese", "green"), ("dog", "blue")):
        Image.new("RGB", (20, 20), colour).save(planted.folder / f"{name}.png")
    planted.write(path=[str(planted.folder / f"{name}.png") for name in planted.fine])
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--k", "{cat: 2, dog: 1}", "--out", str(out)]) == 0
    return out


def test_the_options_are_the_formats() -> None:
    assert set(EXPORTS) == set(FORMATS)


def test_tensorboard_opens_the_projector(planted, found: Path) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector import projector_config_pb2 as pb

    assert main(["discover", "--out", str(found), "--export", "projector"]) == 0
    folder = found / "projector"
    config = text_format.Parse(
        (folder / "projector_config.pbtxt").read_text(), pb.ProjectorConfig()
    )
    (embedding,) = config.embeddings
    array = np.fromfile(folder / embedding.tensor_path, "<f4").reshape(embedding.tensor_shape)
    np.testing.assert_array_equal(array, planted.features)
    rows = (folder / embedding.metadata_path).read_text().splitlines()
    assert rows[0].split("\t") == ["path", "index", "coarse", "cluster", "confidence", "margin"]
    assert len(rows) == 451
    side, columns = embedding.sprite.single_image_dim[0], 22  # 22 x 22 holds 450
    with Image.open(folder / embedding.sprite.image_path) as sheet:
        for row, blue in ((2, True), (23, True), (24, False)):  # every third is a dog
            centre = (row % columns * side + side // 2, row // columns * side + side // 2)
            assert (sheet.getpixel(centre)[2] > 200) == blue
    assert main(["discover", *planted.files, "--k", "1", "--out", str(found)]) == 0
    assert not list(folder.iterdir())  # of the old discovery


def test_pandas_reads_the_table(planted, found: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert main(["discover", "--out", str(found), "--export", "parquet"]) == 0
    table = pandas.read_parquet(found / "clusters.parquet")
    np.testing.assert_array_equal(np.stack(table["features"]), planted.features)
    assert table["cluster"].value_counts().to_dict() == {0: 150, 1: 150, 2: 150}
    assert table["path"][2].endswith("dog.png")


def test_the_data_set_of_fiftyone_names_images_where_they_are(found: Path, planted) -> None:
    rows = ["0,cat,150,", "1,cat,150, my <b>cat</b>", "2,dog,150,"]
    (found / "names.csv").write_text("\n".join(["cluster,coarse,size,name", *rows]))
    assert main(["discover", "--out", str(found), "--export", "fiftyone"]) == 0
    where, held = (
        json.loads((found / "fiftyone" / f"{n}.json").read_text()) for n in ("data", "labels")
    )
    assert where["002"] == str(planted.folder / "dog.png")
    assert where.keys() == held["labels"].keys() == {f"{i:03}" for i in range(450)}
    labels = [one["label"] for one in held["labels"].values()]
    assert sorted(set(labels)) == ["cluster 0", "cluster 2", "my <b>cat</b>"]
    dog = held["labels"]["002"]
    assert dog["attributes"] | {"margin": 0} == {
        **{"coarse": "dog", "cluster": 2, "margin": 0, "index": 2}
    }
    assert 0 <= dog["confidence"] <= 1


@pytest.mark.filterwarnings("ignore")  # FiftyOne's own
def test_fiftyone_reads_the_data_set_in_the_order_of_the_input(found: Path, planted) -> None:
    """By the importer of its data set, which needs no database."""
    pytest.importorskip("fiftyone")
    from fiftyone.utils.data import FiftyOneImageClassificationDatasetImporter as Importer

    assert main(["discover", "--out", str(found), "--export", "fiftyone"]) == 0
    with Importer(dataset_dir=str(found / "fiftyone"), data_path="data.json") as importer:
        samples = [(path, label) for path, _, label in importer]
    assert [path for path, _ in samples] == [str(planted.folder / f"{n}.png") for n in planted.fine]
    assert [label["index"] for _, label in samples] == list(range(450))
    assert {(label.label, label["coarse"]) for _, label in samples} == {
        *(("cluster 0", "cat"), ("cluster 1", "cat"), ("cluster 2", "dog"))
    }
    assert all(0 <= label.confidence <= 1 for _, label in samples)


def test_fiftyone_needs_images(planted, tmp_path: Path, capsys) -> None:
    for column, said in (
        ({}, "have no paths"),
        ({"path": ["gone.png"] * 450}, "gone.png is no file"),
    ):
        planted.write(**column)
        out = ["--out", str(tmp_path / f"of{len(column)}")]
        assert main(["discover", *planted.files, "--k", "1", *out]) == 0
        assert main(["discover", *out, "--export", "fiftyone"]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # Spotlight's own
def test_spotlight_takes_the_table_with_its_images_and_features(found: Path) -> None:
    pytest.importorskip("renumics.spotlight")
    from renumics.spotlight.data_source import create_datasource
    from renumics.spotlight.data_store import DataStore
    from renumics.spotlight.plugin_loader import load_plugins

    assert main(["discover", "--out", str(found), "--export", "parquet"]) == 0
    load_plugins()
    kinds = DataStore(create_datasource(found / "clusters.parquet"), {}).dtypes
    assert (str(kinds["path"]), str(kinds["features"])) == ("Image", "Embedding")
    assert (str(kinds["coarse"]), str(kinds["cluster"])) == ("str", "int")


def test_mistakes_are_one_message(planted, found: Path, capsys, monkeypatch) -> None:
    out = ["--out", str(found)]
    assert main(["discover", *planted.files, *out, "--export", "parquet"]) == 2
    assert "--export works on the discovery in --out" in capsys.readouterr().err
    assert main(["discover", *out, "--export", "xml"]) == 2
    assert "invalid choice: 'xml'" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert main(["discover", *out, "--export", "parquet"]) == 2
    assert "needs pandas and pyarrow" in capsys.readouterr().err
