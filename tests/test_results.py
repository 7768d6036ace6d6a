import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest

RESULTS = Path(__file__).parents[1] / "results"


def test_the_page_of_results_says_what_its_runs_say(tmp_path: Path) -> None:
    """Rebuilt from the kept runs alone, it is the page that lies beside them, to the letter."""
    copy = tmp_path / "results"
    shutil.copytree(RESULTS, copy, ignore=shutil.ignore_patterns("README.md", "figures"))
    subprocess.run([sys.executable, copy / "build.py"], check=True)
    assert (copy / "README.md").read_text() == (RESULTS / "README.md").read_text()
    pictures = {path.name for path in (RESULTS / "figures").iterdir()}
    assert {path.name for path in (copy / "figures").iterdir()} == pictures


COLUMNS = {  # of the front page's table: the runs whose mean each column shows
    "fast": ("fast/mod", "fast/mod1", "fast/mod2"),
    "resnet/mod": ("resnet/mod",),
    "resnet/on": ("resnet/on",),
    "terminal": ("terminal/mod",),
}
ROWS = {
    "coarse accuracy, train": "train/acc_coarse",
    "NC1 by trace quotient, train": "collapse/nc1_trace",
    "**fine classes recovered, test**": "recovery/clp_test",
    "ceiling: probe on true fine labels": "recovery/probe_test",
    "k-means on raw features, train": "recovery/acc_raw",
}


@pytest.mark.parametrize("title", ROWS)
def test_the_front_page_says_what_the_runs_say(title: str) -> None:
    """Each cell is the mean over its runs, to the digits that it shows, and its spread."""
    page = (RESULTS.parent / "README.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith(f"| {title} |"))
    for cell, runs in zip(line.split("|")[3:7], COLUMNS.values(), strict=True):
        summaries = [json.loads((RESULTS / "runs" / r / "summary.json").read_text()) for r in runs]
        values = [summary[ROWS[title]] for summary in summaries]
        shown, *spread = re.findall(r"\d*\.\d+", cell)
        assert float(shown) == pytest.approx(mean(values), abs=0.5001 * 10 ** -_decimals(shown))
        for std in spread:
            assert float(std) == pytest.approx(stdev(values), abs=0.5001 * 10 ** -_decimals(std))


def _decimals(number: str) -> int:
    return len(number.split(".")[1])
