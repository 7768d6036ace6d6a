import csv
from pathlib import Path

import numpy as np
import pytest

from collapse_lit.cli import main
from collapse_lit.discover.naming import load_probe
from collapse_lit.errors import UserError


@pytest.fixture
def found(planted) -> Path:
    folder = planted.folder / "found"
    assert main(["discover", *planted.files, "--k", "{cat: 2, dog: 1}", "--out", str(folder)]) == 0
    return folder


def fill_in(folder: Path, *names: str) -> Path:
    """The table as a person leaves it: one name for each of the first clusters."""
    with (folder / "names.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "names.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row, name in zip(rows, [*names, "", "", ""], strict=False):
            writer.writerow({**row, "name": name})
    return folder / "names.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_named_clusters_are_predicted_for_new_samples(planted, found: Path, capsys) -> None:
    names = fill_in(found, "striped", " cream, white ")
    assert main(["discover", "--out", str(found), "--names", str(names)]) == 0
    said = capsys.readouterr().out
    assert "Fitted a probe of 2 names on 300 samples" in said
    assert "Skipped clusters without a name: 2" in said

    new = np.array([[4.0, 0, 0, 0, 0, 0], [-4, 0, 0, 0, 0, 0]], dtype=np.float32)
    np.save(planted.folder / "new.npy", new)
    out = planted.folder / "predictions.csv"
    arguments = ["--probe", str(found / "probe.npz"), "--out", str(out)]
    assert main(["predict", *arguments, "--features", str(planted.folder / "new.npy")]) == 0
    rows = read(out)
    assert [row["name"] for row in rows] == ["striped", "cream, white"]
    assert [row["index"] for row in rows] == ["0", "1"]
    assert all(float(row["confidence"]) > 0.9 for row in rows)


def test_clusters_of_one_name_are_one_class(found: Path) -> None:
    names = fill_in(found, "cat", "cat", "dog")
    assert main(["discover", "--out", str(found), "--names", str(names)]) == 0
    assert load_probe(found / "probe.npz").names == ("cat", "dog")


def test_filled_in_names_are_not_overwritten(planted, found: Path, capsys) -> None:
    again = ["discover", *planted.files, "--k", "1", "--out", str(found)]
    assert main(again) == 0  # nothing to lose yet
    fill_in(found, "striped")
    assert main(again) == 2
    assert "contains names" in capsys.readouterr().err


def refused(found: Path, names: Path, capsys) -> str:
    assert main(["discover", "--out", str(found), "--names", str(names)]) == 2
    return capsys.readouterr().err


def test_names_of_other_clusters_are_refused(found: Path, capsys, tmp_path: Path) -> None:
    for rows, said in [
        ("7,cat,150,a", "no cluster '7' in this discovery; its clusters are 0 to 2"),
        ("x,cat,150,a", "no cluster 'x'"),
        ("0,cat,150,a\n0,cat,150,b", "cluster 0 occurs twice"),
        ("0,cat,99,a", "cluster 0 has 99 samples in this file and 150 in the discovery"),
        ("0,cat,150,a", "at least two different names"),
    ]:
        (tmp_path / "names.csv").write_text(f"cluster,coarse,size,name\n{rows}\n")
        assert said in refused(found, tmp_path / "names.csv", capsys)
    (tmp_path / "names.csv").write_text("id,name\n0,a\n")
    assert "a header with 'cluster'" in refused(found, tmp_path / "names.csv", capsys)


def test_features_that_changed_are_refused(planted, found: Path, capsys) -> None:
    names = fill_in(found, "a", "b")
    np.save(planted.folder / "f.npy", planted.features + 1)
    assert "not the features of" in refused(found, names, capsys)
    assert "run discover without --names first" in refused(planted.folder, names, capsys)


def test_a_probe_that_does_not_fit_is_refused(planted, found: Path, capsys) -> None:
    main(["discover", "--out", str(found), "--names", str(fill_in(found, "a", "b"))])
    np.save(planted.folder / "wide.npy", np.zeros((2, 9)))
    arguments = ["predict", "--probe", str(found / "probe.npz"), "--out", str(found / "p.csv")]
    assert main([*arguments, "--features", str(planted.folder / "wide.npy")]) == 2
    assert "needs 6 features per sample, but these samples have 9" in capsys.readouterr().err
    with pytest.raises(UserError, match="this is not a probe of collapse-lit"):
        load_probe(planted.folder / "l.csv")
    with pytest.raises(UserError, match="collapse-lit discover --names writes it"):
        load_probe(planted.folder / "nowhere.npz")
    objects = np.array([{}], dtype=object)
    np.savez(planted.folder / "evil.npz", names=objects, mean=objects, weight=objects, bias=objects)
    with pytest.raises(UserError, match="this is not a probe"):
        load_probe(planted.folder / "evil.npz")
