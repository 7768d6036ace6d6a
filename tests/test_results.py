import importlib
import json
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

RESULTS = Path(__file__).parents[1] / "results"


def test_the_page_of_results_says_what_its_runs_say(tmp_path: Path) -> None:
    """Rebuilt from the kept runs alone, it is the page that lies beside them, to the letter."""
    copy = tmp_path / "results"
    pages = ("README.md", "epochs.md")
    shutil.copytree(RESULTS, copy, ignore=shutil.ignore_patterns(*pages, "figures"))
    subprocess.run([sys.executable, copy / "build.py"], check=True)
    for page in pages:
        assert (copy / page).read_text() == (RESULTS / page).read_text()
    pictures = {path.name for path in (RESULTS / "figures").iterdir()}
    assert {path.name for path in (copy / "figures").iterdir()} == pictures


ROWS = {  # of the front page's table: the runs whose mean each row shows
    "`resnet/seed": ("resnet/seed0", "resnet/seed1"),
    "`resnet/wide0`": ("resnet/wide0",),
    "`resnet/further": ("resnet/further0", "resnet/further1"),
    "`cifar100/superclasses`": ("cifar100/superclasses",),
}
COLUMNS = {
    "NC1 by trace": "collapse/nc1_trace",
    "k-means on raw features": "recovery/acc_raw",
    "**recovered, test**": "recovery/clp_test",
    "ceiling": "recovery/probe_test",
}


@pytest.mark.parametrize("title", ROWS)
def test_the_front_page_says_what_the_runs_say(title: str) -> None:
    """Each cell is the mean over its runs, to the digits that it shows, and its spread."""
    lines = (RESULTS.parent / "README.md").read_text().splitlines()
    heads = _cells(next(line for line in lines if "**recovered, test**" in line))
    shown_in = dict(zip(heads, _cells(next(line for line in lines if title in line)), strict=True))
    summaries = [
        json.loads((RESULTS / "runs" / r / "summary.json").read_text()) for r in ROWS[title]
    ]
    assert shown_in["n"] == str(len(summaries))
    for head, key in COLUMNS.items():
        values = [summary[key] for summary in summaries]
        shown, *spread = re.findall(r"\d*\.\d+", shown_in[head])
        assert float(shown) == pytest.approx(mean(values), abs=0.5001 * 10 ** -_decimals(shown))
        assert len(spread) == (len(values) > 1), "a spread wherever there are several runs"
        for std in spread:
            assert float(std) == pytest.approx(stdev(values), abs=0.5001 * 10 ** -_decimals(std))


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _decimals(number: str) -> int:
    return len(number.split(".")[1])


def test_a_factor_of_the_small_design_is_mixed_up_with_no_other_nor_with_two(monkeypatch) -> None:
    monkeypatch.syspath_prepend(RESULTS)
    factorial = importlib.import_module("factorial")
    signs = 2 * np.array(list(factorial.cells())) - 1
    pairs = np.array([signs[:, i] * signs[:, j] for i, j in combinations(range(4), 2)])
    assert (signs.T @ signs == 8 * np.eye(4)).all()
    assert not (signs.T @ pairs.T).any()
    levels = (signs + 1) // 2
    of_cells = 5 + levels @ [1, -2, 0, 4] + levels[:, 0] * levels[:, 1]
    seeds = np.array([-0.3, 0, 0.3]) + of_cells[:, None]
    changes, errors = zip(*(factorial.effect(seeds, factor) for factor in range(4)), strict=True)
    assert changes == pytest.approx([1.5, -1.5, 0, 4])
    assert errors == pytest.approx([2 * 0.3 / 24**0.5] * 4)
