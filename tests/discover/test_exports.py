"""Exports of a discovery, opened by the other tools."""

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


def test_mistakes_are_one_message(planted, found: Path, capsys, monkeypatch) -> None:
    out = ["--out", str(found)]
    assert main(["discover", *planted.files, *out, "--export", "parquet"]) == 2
    assert "--export works on the discovery in --out" in capsys.readouterr().err
    assert main(["discover", *out, "--export", "xml"]) == 2
    assert "invalid choice: 'xml'" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert main(["discover", *out, "--export", "parquet"]) == 2
    assert "needs pandas and pyarrow" in capsys.readouterr().err
