"""A discovery in a requested space."""

import json

import pytest
import torch

from collapse_lit.cli import main
from collapse_lit.discover import discover, make_samples
from collapse_lit.errors import UserError


def test_a_space_may_be_asked_for(planted) -> None:
    samples = make_samples(torch.from_numpy(planted.features), planted.labels)
    assert [str(c.space) for c in discover(samples, 2, space="raw/kmeans").classes] == [
        "raw/kmeans",
        "raw/kmeans",
    ]
    assert torch.equal(discover(samples, space="auto").ids, discover(samples).ids)
    with pytest.raises(UserError, match=r"--space: space 'ica/gmm' is unknown.*whiteR"):
        discover(samples, space="ica/gmm")
    with pytest.raises(UserError, match=r"--space: .* needs a whitened space"):
        discover(samples, {"dog": 2}, space="raw/kmeans")


def test_a_space_may_be_named(planted) -> None:
    out = planted.folder / "found"
    options = ["--k", "2", "--space", "unit-pca4/gmm", "--out", str(out)]
    assert main(["discover", *planted.files, *options]) == 0
    summary = json.loads((out / "clusters.json").read_text())
    assert summary["parameters"] == {"k": 2, "space": "unit-pca4/gmm", "seed": 0}
    assert [entry["space"] for entry in summary["classes"]] == ["unit-pca4/gmm"] * 2


def test_a_separation_that_is_not_defined_is_a_dash(planted, capsys) -> None:
    out = planted.folder / "found"
    options = ["--k", "2", "--space", "raw/kmeans", "--out", str(out)]
    assert main(["discover", *planted.files, *options]) == 0
    summary = json.loads((out / "clusters.json").read_text())
    assert [entry["separation"] for entry in summary["classes"]] == [None, None]
    assert "nan" not in capsys.readouterr().out
    assert "<td>nan</td>" not in (out / "report.html").read_text()
    assert "<td>–</td>" in (out / "report.html").read_text()
