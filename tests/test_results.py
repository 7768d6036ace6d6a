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


def last(run: str) -> dict[str, float]:
    return json.loads((RESULTS / "runs" / run / "summary.json").read_text())


FOUND, TOLD, FLOOR = "recovery/clp_test", "recovery/probe_test", "recovery/floor"
LEARNT = "train/acc_coarse"
SEED, FAR = last("resnet/seed0"), last("resnet/far0")
TEN, TEN_FAR = last("resnet/ten0"), last("resnet/tenfar0")
LESS = SEED["collapse/nc1_trace"] / last("resnet/further0")["collapse/nc1_trace"]
SEEDS = mean(last(run)[FOUND] for run in ROWS["`resnet/seed"])
WIDE = last("resnet/wide0")[FOUND]
FLOOR_OF_100 = last("cifar100/superclasses")[FLOOR]
COARSE = {
    "`fast`, n = 3": ("fast/mod", "fast/mod1", "fast/mod2"),
    "`resnet/seed…`, n = 2": ROWS["`resnet/seed"],
    "`resnet/further…`, n = 2": ROWS["`resnet/further"],
    "`terminal`, n = 1": ("terminal/mod",),
    "`cifar100/superclasses`, n = 1": ROWS["`cifar100/superclasses`"],
}
SENTENCES = [
    (
        "README.md",
        f"`resnet/seed0` gives {TEN[TOLD]:.3f}, not {SEED[FOUND]:.3f}.".replace("0.", "."),
    ),
    ("docs/paper.md", f"its features vary {LESS:.0f} times less inside a class than before"),
    (
        "docs/paper.md",
        f"A network of width 16 gives {SEEDS:.1%}, and one of width 32 gives {WIDE:.1%}.",
    ),
    (
        "docs/paper.md",
        f"by {100 * (TEN[TOLD] - SEED[FOUND]):.1f} points before collapse, "
        f"and by {100 * (TEN_FAR[TOLD] - FAR[FOUND]):.1f} after",
    ),
    (
        "README.md",
        f"Random clusters score {SEED[FLOOR]:.2f}, and {FLOOR_OF_100:.2f} on CIFAR-100.".replace(
            " 0.", " ."
        ),
    ),
    *(
        ("docs/paper.md", f"| {rows} | {mean(last(r)[LEARNT] for r in runs):.3f} |")
        for rows, runs in COARSE.items()
    ),
]


@pytest.mark.parametrize(("page", "sentence"), SENTENCES)
def test_sentences_say_what_the_runs_say(page: str, sentence: str) -> None:
    said = " ".join((RESULTS.parent / page).read_text().split())
    assert sentence.replace("%", " %").replace("| 0.", "| .") in said


def test_the_page_on_recovery_has_the_losses_of_the_epoch_rule() -> None:
    printed = subprocess.check_output([sys.executable, RESULTS / "epoch_rule.py"], text=True)
    assert printed.strip() in (RESULTS.parent / "docs" / "recovery.md").read_text()


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
