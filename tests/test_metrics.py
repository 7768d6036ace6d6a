"""Everything that names or shows a metric agrees with the catalogue of metrics."""

import json
import re
from pathlib import Path

import pytest

from collapse_lit import metrics
from collapse_lit.cli import main
from collapse_lit.measure.collapse.measures import names
from collapse_lit.metrics import BY_KEY, METRICS, PANELS, Metric, drawn_in, is_measured, shown_in
from collapse_lit.report.figures import collapse_figure
from collapse_lit.report.metrics_page import page

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_catalogue_says() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == f"{page()}\n", "run make results"


def test_the_documentation_names_metrics_that_exist() -> None:
    pages = "".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    named = set(re.findall(r"`((?:collapse|recovery|train|test)/[a-z]\w+)`", pages))
    assert metrics.HEADLINE in named
    assert named <= BY_KEY.keys()
    assert len(BY_KEY) == len(METRICS), "a key twice"


def test_every_measure_of_collapse_is_in_the_catalogue() -> None:
    assert {f"collapse/{name}" for name in names()} <= BY_KEY.keys()


def test_panels_hold_something_and_metrics_are_in_panels_that_exist() -> None:
    assert all(drawn_in(title) for title in PANELS)
    assert {metric.panel for metric in METRICS} - {""} <= PANELS.keys()
    assert metrics.HEADLINE in {metric.key for metric in shown_in("summary")}


@pytest.mark.usefixtures("one_figure")
def test_a_run_has_only_keys_of_the_catalogue(tmp_path: Path) -> None:
    config = str(ROOT / "configs/quickstart.yaml")
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    quiet = ["--wandb.mode", "disabled", "--trainer.accelerator", "cpu"]
    layers = ["--collapse.layers", "[backbone.4]", "--recovery.layers", "[backbone.4]"]
    arguments = ["fit", "--config", config, "--run_dir", str(tmp_path), *short, *quiet, *layers]
    assert main(arguments) == 0
    row = json.loads((tmp_path / "history.jsonl").read_text())
    keys = {key.replace("backbone.4", "PATH") for key in row}
    of_other_splits = ("collapse_test/", "collapse_fine/")
    unknown = {key for key in keys - BY_KEY.keys() if not key.startswith(of_other_splits)}
    assert unknown == {"epoch"}
    assert BY_KEY.keys() <= keys
    assert all(is_measured(key) for key in row if key.startswith(("collapse", "recovery")))


def test_a_fifth_panel_is_drawn_like_the_others(monkeypatch) -> None:
    own = Metric("collapse/mine", "mine", "", panel="Mine")
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, own))
    monkeypatch.setitem(PANELS, "Mine", "linear")
    values = {metric.key: 0.5 for metric in metrics.METRICS}
    figure = collapse_figure([{"epoch": 0, **values}, {"epoch": 1, **values}])
    shown = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert shown == list(PANELS)
    assert "Mine" in shown
    without = {key: value for key, value in values.items() if key != metrics.NC1_FINE}
    assert collapse_figure([{"epoch": 0, **without}]).axes


def test_two_classes_are_drawn_without_a_warning() -> None:
    """Their means always have equal norms and angles: a logarithmic axis has nothing to show."""
    row = {"collapse/nc1": 0.5, "collapse/nc2_equinorm": 0.0, "collapse/nc2_equiangular": 0.0}
    assert collapse_figure([{"epoch": 0, **row}, {"epoch": 1, **row}]).axes
