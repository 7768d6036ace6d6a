"""The figure and the charts by depth: only where layers were measured, in order of depth."""

import json
from pathlib import Path

from example_run import write_run

from collapse_lit.metrics import CEILING, FOUND, HEADLINE, NC1, NC1_FINE
from collapse_lit.pages.names import plain
from collapse_lit.report import build_report
from collapse_lit.report.charts import depth_charts
from collapse_lit.report.depth import depth_panels
from collapse_lit.report.figures import depth_figure, run_figures

PATHS = ("net.2", "net.10", "net.9")  # in order of depth, not of the alphabet


def row(epoch: int, paths: tuple[str, ...] = PATHS) -> dict[str, float]:
    values: dict[str, float] = {"epoch": epoch}
    for depth, path in enumerate(paths):
        values[f"collapse_layers/{path}/nc1"] = 8.0 / 2**depth
        values[f"recovery_layers/{path}/acc"] = 0.5 + 0.1 * depth
        values[f"recovery_layers/{path}/clp_test"] = 0.4 + 0.1 * depth
        values[f"recovery_layers/{path}/probe_test"] = 0.6 + 0.1 * depth
        values[f"recovery_layers/{path}/nc1_fine"] = 4.0
    return values | {FOUND: 0.9, HEADLINE: 0.8, CEILING: 0.95, NC1: 0.5, NC1_FINE: 1.0}


def test_layers_come_in_order_of_depth_and_end_with_the_features() -> None:
    (shares, nc1) = depth_panels([row(0)])
    for panel in (shares, nc1):
        assert panel.places == ("net.2", "net.10", "net.9", "features")
    curves = {curve.label: curve.values for panel in (shares, nc1) for curve in panel.curves}
    assert curves["NC1, coarse labels"] == (8, 4, 2, 0.5)
    assert curves["NC1, fine labels"] == (4, 4, 4, 1)
    assert curves["recovered fine classes, test"] == (0.4, 0.5, 0.6000000000000001, 0.8)
    axes = depth_figure([shares, nc1]).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [*PATHS, "features"]
    (line,) = (line for line in axes.lines if line.get_label() == "recovered fine classes, test")
    assert list(line.get_xdata()) == [0, 1, 2, 3]
    assert list(line.get_ydata()) == list(curves["recovered fine classes, test"])


def test_the_charts_have_the_same_order() -> None:
    for _, chart in depth_charts([row(0)]):
        layout = chart.figure["layout"]
        assert layout["xaxis"]["ticktext"] == [*PATHS, "features"]
        for trace in chart.figure["data"]:
            assert trace["x"] == layout["xaxis"]["tickvals"]


def test_a_first_a_middle_and_the_last_epoch_are_drawn() -> None:
    (shares, _) = depth_panels([row(epoch) for epoch in range(7)])
    found = [curve for curve in shares.curves if curve.label == "recovered fine classes, test"]
    assert [curve.epoch for curve in found] == [0, 3, 6]
    assert [curve.opacity for curve in found] == sorted(curve.opacity for curve in found)
    assert found[-1].opacity == 1
    (two, _) = depth_panels([row(0), row(5)])
    assert two.epochs == [0, 5]


def test_layers_of_collapse_alone_have_a_panel() -> None:
    known = ("collapse", "epoch")
    alone = {key: value for key, value in row(0).items() if key.startswith(known)}
    (nc1,) = depth_panels([alone])
    assert nc1.title == "NC1"
    assert nc1.places == (*PATHS, "features")
    assert [curve.values for curve in nc1.curves] == [(8, 4, 2, 0.5)]


def test_it_is_drawn_only_where_layers_were_measured(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", epochs=2, snapshots=())
    history = run.read_history()
    assert "depth" not in [name for name, _ in run_figures(history, {}, None)]
    before = build_report(run.path).read_text()
    assert 'id="depth"' not in before
    lines = [json.dumps(before | row(before["epoch"], ("<b>one", "two"))) for before in history]
    run.history.write_text("\n".join(lines) + "\n")
    assert 'id="depth"' in build_report(run.path).read_text()
    assert (run.figures / "depth.png").exists()
    (first, _) = depth_charts(run.read_history())
    assert first[1].figure["layout"]["xaxis"]["ticktext"][0] == plain("<b>one")
