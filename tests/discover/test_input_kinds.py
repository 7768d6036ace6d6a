"""Every kind of input is read as intended, or refused with a clear message."""

import csv
import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lit.cli import main
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.samples import check_features, make_samples
from collapse_lit.discover.tables import table_samples
from collapse_lit.discover.wanted import clusters_asked
from collapse_lit.errors import UserError
from collapse_lit.hierarchy import make_hierarchy

ONE = ["--k", "1"]


def discover(planted, *more: str, out: str = "found") -> Path:
    folder = planted.folder / out
    assert main(["discover", *planted.files, *more, "--out", str(folder)]) == 0
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


# Arrays.


def archive(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "d.npz", **{"features": np.eye(4), **arrays})
    return tmp_path / "d.npz"


def test_labels_in_arrays_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    def names(labels: np.ndarray) -> tuple[str, ...]:
        return table_samples(archive(tmp_path, labels=labels), None).coarse_names

    assert names(np.array([b"cat", b"dog", b"cat", b"dog"])) == ("cat", "dog")
    assert names(np.array([2.0, 10, 2, 10])) == ("2", "10")
    assert names(np.array([True, False, True, False])) == ("False", "True")
    beside = {"labels": np.array(list("abab")), "meta": np.array([{}], dtype=object)}
    assert table_samples(archive(tmp_path, **beside), None).coarse_names == ("a", "b")
    with pytest.raises(UserError, match=r"the label of row 1 is empty"):
        names(np.array([1, np.nan, 1, 2]))
    with pytest.raises(UserError, match=r"0\.5 is not a class"):
        names(np.array([1, 0.5, 1, 2]))
    fine = np.array([np.nan, 1, np.nan, np.nan])
    found = table_samples(archive(tmp_path, labels=np.array(list("abab")), fine=fine), None)
    assert found.fine is not None
    assert found.fine.tolist() == [-1, 0, -1, -1]
    assert found.fine_names == ("1",)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (">f8", "float64"),
        (">f4", "float32"),
        ("f2", "float32"),
        ("i4", "float64"),
        ("?", "float32"),
    ],
)
def test_features_keep_their_digits(dtype: str, kept: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    found = check_features(array, "f")
    assert str(found.dtype) == f"torch.{kept}"
    assert found.tolist() == [[0, 1], [1, 0]]


def test_features_that_no_number_can_hold_are_refused() -> None:
    with pytest.raises(UserError, match=r"the features reach 2\.0e\+150; scale them"):
        check_features(np.array([[1, -2e150]]), "f")


def test_labels_in_python_may_be_numbers(planted) -> None:
    import torch

    rows = torch.nn.Linear(2, 2)(torch.eye(2))  # with a gradient
    assert make_samples(rows, torch.tensor([3, 1])).coarse_names == ("1", "3")
    assert make_samples(rows.detach().numpy(), [np.int64(3), np.float32(1)]).coarse.tolist() == [
        1,
        0,
    ]


# Tables.


@pytest.mark.parametrize(
    "content",
    [
        b"label;path\na;x\nb;y\na;z\nb;w\n",
        "label\tpath\na\tx\nb\ty\na\tz\nb\tw\n".encode("utf-16"),
        "\ufefflabel,path\r\na,x\r\nb,y\r\na,z\r\nb,w\r\n".encode(),
    ],
)
def test_tables_come_from_any_spreadsheet(tmp_path: Path, content: bytes) -> None:
    np.save(tmp_path / "f.npy", np.eye(4))
    (tmp_path / "l.csv").write_bytes(content)
    samples = table_samples(tmp_path / "f.npy", tmp_path / "l.csv")
    assert (samples.coarse_names, samples.paths) == (("a", "b"), ("x", "y", "z", "w"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label\ncaf\xe9\nb\n".encode("latin-1"), r"l\.csv: line 2 is not in UTF-8"),
        (b"label,label\na,b\n", "the column 'label' twice"),
    ],
)
def test_tables_that_cannot_be_read_for_sure_are_refused(
    tmp_path: Path, content: bytes, said: str
) -> None:
    np.save(tmp_path / "f.npy", np.eye(4))
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(UserError, match=said):
        table_samples(tmp_path / "f.npy", tmp_path / "l.csv")


def test_a_broken_picture_in_a_table_is_left_out(planted) -> None:
    Image.new("RGB", (4, 4), "red").save(planted.folder / "ok.png")
    whole = (planted.folder / "ok.png").read_bytes()
    start = whole.index(b"IDAT")
    broken = whole[: start + 6] + b"\0" * 12 + whole[start + 6 :]
    (planted.folder / "bad.png").write_bytes(broken)
    planted.write(path=["bad.png", *["ok.png"] * 449])
    page = (discover(planted, *ONE) / "report.html").read_text()
    assert 'alt="ok.png"' in page


def test_class_names_stand_as_they_are(planted, tmp_path: Path) -> None:
    assert clusters_asked("{yes: 2, 007: 3, 2024-01-01: auto}") == {
        "yes": 2,
        "007": 3,
        "2024-01-01": "auto",
    }
    assert clusters_asked("3") == 3
    planted.labels = ["yes" if label == "cat" else "no" for label in planted.labels]
    planted.write()
    summary = json.loads((discover(planted, "--k", "{yes: 2}") / "clusters.json").read_text())
    assert [(entry["class"], entry["k"]) for entry in summary["classes"]] == [("no", 1), ("yes", 2)]
    groups = tmp_path / "groups.yaml"
    groups.write_text("yes: [no, 007]\nnull: [on]\n")
    assert make_hierarchy(("007", "no", "on"), groups).coarse_names == ("yes", "null")


# The terminal.


def test_a_terminal_without_utf8_and_emoji_codes(planted, monkeypatch, tmp_path: Path) -> None:
    import io

    planted.labels = ["a:apple:b" if x == "cat" else "犬\x1b[2J" for x in planted.labels]
    planted.write()
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    discover(planted, *ONE)
    terminal.flush()
    said = terminal.buffer.getvalue().decode("ascii")
    assert "a:apple:b" in said
    assert r"\u72ac\x1b[2J" in said


# The folder that is written to.


def test_rows_are_found_by_their_index(planted, capsys) -> None:
    found = discover(planted, "--k", "{cat: 2, dog: 1}")
    rows = rows_of(found / "clusters.csv")
    names = rows_of(found / "names.csv")
    write_rows(found / "names.csv", [{**row, "name": f"n{i}"} for i, row in enumerate(names)])
    fit = ["discover", "--out", str(found), "--names", str(found / "names.csv")]

    mixed = sorted(rows, key=lambda row: row["margin"])
    write_rows(found / "clusters.csv", [{**r, "cluster": f"{r['cluster']}.0"} for r in mixed])
    assert main(fit) == 0
    assert "predicts the name of their cluster for 100.0 %" in capsys.readouterr().out

    write_rows(found / "clusters.csv", rows[:-50])
    assert main(fit) == 2
    assert "50 of the 450 samples are missing" in capsys.readouterr().err
    write_rows(found / "clusters.csv", [{**rows[0], "cluster": "1"}, *rows[1:]])
    assert main(fit) == 2
    assert "some of its clusters were changed" in capsys.readouterr().err


def test_a_folder_is_of_one_discovery(planted) -> None:
    found = discover(planted, *ONE)
    (found / "probe.npz").touch()
    (found / "features.npy").touch()
    discover(planted, *ONE)
    assert sorted(p.name for p in found.iterdir()) == [
        "clusters.csv",
        "clusters.json",
        "names.csv",
        "report.html",
    ]


def test_what_cannot_be_written_leaves_what_was_there(planted, capsys, monkeypatch) -> None:
    found = discover(planted, *ONE)
    before = {p.name: p.read_bytes() for p in found.iterdir()}
    folder = DiscoveryFolder(found)

    def full(path: Path, content: bytes) -> None:
        if path.name.startswith(".report"):
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(content)

    monkeypatch.setattr("collapse_lit.discover.folder._write", full)
    with pytest.raises(UserError, match="No space left"):
        folder.replace({folder.clusters: b"new", folder.report: b"new"})
    assert {p.name: p.read_bytes() for p in found.iterdir()} == before
    (found / "report.html").unlink()
    (found / "report.html").mkdir()
    assert main(["discover", *planted.files, "--out", str(found)]) == 2
    assert "report.html exists and is not a file" in capsys.readouterr().err


def test_a_summary_of_something_else_is_refused(planted, capsys) -> None:
    found = discover(planted, *ONE)
    (found / "clusters.json").write_text("{}")
    assert main(["discover", "--out", str(found), "--names", str(found / "names.csv")]) == 2
    assert "run discover again" in capsys.readouterr().err


def test_links_and_devices_are_written_through(planted, capsys) -> None:
    folder = planted.folder
    np.savez(
        folder / "p.npz", names=["a", "b"], mean=np.zeros(6), weight=np.zeros((2, 6)), bias=[0.0, 1]
    )
    predict = ["predict", f"--probe={folder / 'p.npz'}", f"--features={folder / 'f.npy'}", "--out"]
    (folder / "real.csv").write_text("old")
    (folder / "link.csv").symlink_to("real.csv")
    assert main([*predict, str(folder / "link.csv")]) == 0
    assert (folder / "link.csv").is_symlink()
    assert (folder / "real.csv").read_text().startswith("index,name")
    if os.geteuid() == 0:
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        assert main([*predict, str(folder / "null")]) == 0
        assert stat.S_ISCHR((folder / "null").stat().st_mode)
    assert main([*predict, str(folder)]) == 2
    assert "this is a folder" in capsys.readouterr().err


def test_names_that_are_no_utf8_are_read_and_written(photos: Path, tmp_path: Path) -> None:
    first = next((photos / "sky").iterdir())
    first.rename(os.fsdecode(os.fsencode(photos / "sky") + b"/caf\xe9.jpg"))
    network = ["--model=mobilenet_v3_small", "--image_size=32", f"--images={photos}"]
    assert main(["discover", *network, *ONE, "--out", str(tmp_path / "found")]) == 0
    paths = [row["path"] for row in rows_of(tmp_path / "found/clusters.csv")]
    assert str(photos / "sky" / r"caf\xe9.jpg") in paths
