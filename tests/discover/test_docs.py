"""The uses of the output files in docs/discover.md."""

import re
from pathlib import Path

import numpy as np
import pytest

from collapse_lit.cli import main

DOCS = (Path(__file__).parents[2] / "docs/discover.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


@pytest.fixture
def found(planted, monkeypatch) -> Path:
    monkeypatch.chdir(planted.folder)
    assert main(["discover", *planted.files, "--k", "{cat: 2, dog: 1}", "--out", "found"]) == 0
    return planted.folder / "found"


def block(word: str) -> str:
    (code,) = [code for code in BLOCKS if word in code]
    return code


def test_pandas_reads_the_table(found: Path) -> None:
    pytest.importorskip("pandas")
    names: dict = {}
    exec(block('pd.read_csv("found/clusters.csv")\nprint'), names)
    assert names["clusters"]["cluster"].value_counts().to_dict() == {0: 150, 1: 150, 2: 150}


@pytest.mark.filterwarnings("ignore")  # cleanlab's own
def test_cleanlab_takes_the_clusters(found: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("cleanlab")
    pytest.importorskip("datasets")
    clusters = pandas.read_csv("found/clusters.csv")
    cat = (clusters["coarse"] == "cat").to_numpy(dtype=float)
    worse = (clusters["cluster"] == 1).to_numpy()
    cat[worse] = 0.05  # the classifier takes the second cluster for dogs
    names: dict = {"clusters": clusters, "pred_probs": np.column_stack([cat, 1 - cat])}
    exec(block("Datalab"), names)
    issues = names["lab"].get_issues("underperforming_group")
    assert issues["is_underperforming_group_issue"].to_numpy()[worse].all()


def test_the_python_example_runs(planted) -> None:
    names: dict = {"features": planted.features, "labels": planted.labels}
    exec(block("make_samples"), names)
    assert names["found"].classes[0].verdict == "distinct"
