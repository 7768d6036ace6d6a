import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from collapse_lit.discover.tables import read_features, table_samples
from collapse_lit.errors import UserError


def save(folder: Path, labels: str, features: np.ndarray | None = None) -> tuple[Path, Path]:
    array = np.arange(6.0).reshape(3, 2) if features is None else features
    np.save(folder / "f.npy", array)
    (folder / "l.csv").write_text(labels)
    return folder / "f.npy", folder / "l.csv"


def test_rows_of_labels_belong_to_rows_of_features(tmp_path: Path) -> None:
    samples = table_samples(*save(tmp_path, "path,label\nx,10\ny,2\nz,10\n"))
    assert samples.features.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert samples.coarse_names == ("2", "10")
    assert samples.coarse.tolist() == [1, 0, 1]
    assert samples.paths == ("x", "y", "z")
    assert samples.fine is None


def test_fine_labels_may_be_known_for_some(tmp_path: Path) -> None:
    samples = table_samples(*save(tmp_path, "label,fine\na,left\nb,left\nb,\n"))
    assert samples.fine is not None
    assert samples.fine.tolist() == [0, 1, -1]  # the left of a is not the left of b
    assert samples.fine_names == ("left", "left")
    assert samples.fine_to_coarse.tolist() == [0, 1]


def test_an_empty_fine_column_is_no_fine_label(tmp_path: Path) -> None:
    assert table_samples(*save(tmp_path, "label,fine\na,\nb,\nb,\n")).fine is None


def test_an_archive_holds_everything(tmp_path: Path) -> None:
    features = torch.tensor([[1.0, 2], [3, 4]], dtype=torch.float16).numpy()
    file = tmp_path / "data.npz"
    np.savez(file, features=features, labels=[7, 7], fine=["x", ""], paths=["p", "q"])
    samples = table_samples(file, None)
    assert samples.features.dtype == torch.float32
    assert samples.coarse_names == ("7",)
    assert samples.fine is not None
    assert samples.fine.tolist() == [0, -1]
    assert read_features(file)[1] == ("p", "q")


def test_pictures_are_found_beside_the_table(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "x.png")
    samples = table_samples(*save(tmp_path, "label,path\na,x.png\na,gone.png\na,x.png\n"))
    assert samples.picture is not None
    assert samples.picture(2).size == (5, 4)
    with pytest.raises(OSError, match=r"gone\.png"):
        samples.picture(1)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("label\na\nb\n", "l.csv has 2 labels and .*f.npy has 3 rows"),
        ("label\na\n \nb\n", "label of row 1 is empty"),
        ("class\na\nb\nb\n", "l.csv: its first line must be a header with 'label'"),
        ("", "must be a header with 'label'"),
        ("label\n", "it has a header but no rows"),
        ("label,fine\na,b\na\na,b\n", "line 3 does not have the 2 fields"),
    ],
)
def test_bad_labels_are_one_message(tmp_path: Path, labels: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        table_samples(*save(tmp_path, labels))


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (
            np.array([[0.0], [np.nan], [np.inf]]),
            r"the features are NaN or infinite in 2 rows \(1, 2\)",
        ),
        (np.zeros((3, 2, 4, 4)), r"average maps first: features.mean\(\(2, 3\)\)"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.array([["a"], ["b"], ["c"]]), "expected numbers"),
        (np.array([[None], [1], [2]], dtype=object), "Python objects, which could run code"),
    ],
)
def test_bad_features_are_one_message(tmp_path: Path, features: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said):
        table_samples(*save(tmp_path, "label\na\nb\nb\n", features))


def test_files_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    features, labels = save(tmp_path, "label\na\nb\nb\n")
    with pytest.raises(UserError, match=r"no.npy: No such file"):
        table_samples(tmp_path / "no.npy", labels)
    with pytest.raises(UserError, match="classes of the rows are missing; add --labels"):
        table_samples(features, None)
    with pytest.raises(UserError, match=r"\.npy, \.npz, \.parquet, not \.csv"):
        table_samples(labels, None)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"torn\.npz: it cannot be read"):
        table_samples(tmp_path / "torn.npz", None)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match="array 'features' is missing; the file has x"):
        table_samples(tmp_path / "other.npz", None)


def test_parquet_without_pandas_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    (tmp_path / "data.parquet").touch()
    with pytest.raises(UserError, match="pip install pandas pyarrow"):
        table_samples(tmp_path / "data.parquet", None)


def test_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(
        {"features": [[0.0, 1], [2, 3]], "label": [3, 4], "fine": ["x", None], "path": ["p", "q"]}
    )
    table.to_parquet(tmp_path / "data.parquet")
    samples = table_samples(tmp_path / "data.parquet", None)
    assert samples.features.tolist() == [[0, 1], [2, 3]]
    assert samples.coarse_names == ("3", "4")
    assert samples.fine is not None
    assert samples.fine.tolist() == [0, -1]
    table.drop(columns="label").to_parquet(tmp_path / "bare.parquet")
    with pytest.raises(UserError, match="the classes of the rows are missing"):
        table_samples(tmp_path / "bare.parquet", None)
    assert read_features(tmp_path / "bare.parquet")[0].tolist() == [[0, 1], [2, 3]]
    (tmp_path / "l.csv").write_text("label\na\nb\n")
    samples = table_samples(tmp_path / "bare.parquet", tmp_path / "l.csv")
    assert samples.coarse_names == ("a", "b")
