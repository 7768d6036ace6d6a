"""Dividing a cluster of an earlier discovery."""

import csv
import json
from pathlib import Path

import numpy as np

from collapse_lit.cli import main


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_cluster_is_looked_into_and_the_others_stay(planted, capsys) -> None:
    planted.labels = ["pet"] * 450  # dogs are far away, cats are two
    planted.features[:, 1] += 20 * (np.array(planted.fine) == "dog")
    planted.write()
    first, second = planted.folder / "first", planted.folder / "second"
    assert main(["discover", *planted.files, "--k", "2", "--out", str(first)]) == 0
    sizes = [int(row["size"]) for row in read(first / "names.csv")]
    assert sorted(sizes) == [150, 300]
    cats = sizes.index(300)
    rows = read(first / "names.csv")
    rows[1 - cats]["name"] = "dog"
    with (first / "names.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)

    again = ["discover", "--within", str(first), "--cluster", str(cats), "--out", str(second)]
    assert main(again) == 0
    named = read(second / "names.csv")
    assert {(row["coarse"], row["size"], row["name"]) for row in named} == {
        (f"pet {cats}", "150", ""),
        (f"pet {1 - cats}", "150", "dog"),
    }
    found = {row["index"]: row["cluster"] for row in read(second / "clusters.csv")}
    assert len({(found[str(i)], name) for i, name in enumerate(planted.fine)}) == 3
    assert len(read(first / "clusters.csv")) == 450  # is still there

    for i, row in enumerate(named):
        row["name"] = row["name"] or f"cat {i}"
    with (second / "names.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, named[0].keys())
        writer.writeheader()
        writer.writerows(named)
    fit = ["discover", "--out", str(second), "--names", str(second / "names.csv")]
    assert main(fit) == 0
    assert "Fitted a probe of 3 names on 450 samples" in capsys.readouterr().out
    assert json.loads((second / "clusters.json").read_text())["source"]["cluster"] == [cats]


def test_mistakes_are_one_message(planted, capsys) -> None:
    first = planted.folder / "first"
    assert main(["discover", *planted.files, "--k", "1", "--out", str(first)]) == 0
    out = ["--out", str(planted.folder / "second")]
    for arguments, said in (
        (["--within", str(first)], "add --cluster"),
        (["--within", str(first), "--cluster", "9"], "no such cluster; its clusters are 0 to 1"),
        (["--within", str(first), "--cluster", "0", "--k", "{cat: 2}"], "auto or one number"),
        (["--within", str(planted.folder), "--cluster", "0"], "there is no clusters.json"),
        ([*planted.files, "--cluster", "0"], "--cluster cannot be combined with --features"),
    ):
        assert main(["discover", *arguments, *out]) == 2
        assert said in capsys.readouterr().err
