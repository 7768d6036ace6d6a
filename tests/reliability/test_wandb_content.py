"""What a W&B run shows, read back from W&B's own files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from reliability.processes import DIGITS
from reliability.wandb_server import WandbServer

from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows, records, summary_row

PNG = b"\x89PNG"
ARGUMENTS = [
    *(*DIGITS, "--wandb.mode", "offline", "--wandb.tags", "[paper, wide]"),
    *("--wandb.group", "widths", "--trainer.max_epochs"),
]


def wandb_files(run: RunDirectory) -> list[Path]:
    return sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"))


def shown(run: RunDirectory, prefix: str) -> list[tuple[int, Path]]:
    """Epoch and file of all media under these names, in the order in which they were logged."""
    return [
        (row["epoch"], file.parent / "files" / value)
        for file in wandb_files(run)
        for row in history_rows(file)
        for key, value in row.items()
        if key.startswith(prefix) and key.endswith(".path")
    ]


@pytest.mark.slow
def test_a_run_shows_its_choice_its_figures_its_page_and_its_points_once(
    start, tmp_path: Path
) -> None:
    process = start(tmp_path / "run", *ARGUMENTS, "2", HOME=str(tmp_path / "home"))
    assert process.end() == 0, process.printed
    run = process.run
    [file] = wandb_files(run)

    history, identity = run.read_history(), json.loads(run.identity.read_text())
    chosen = json.loads(run.summary.read_text())["selected"]["epoch"]
    summary = summary_row(file)
    key = "recovery/clp_test"
    assert summary["selected/epoch"] == chosen
    assert summary[f"selected/{key}"] == pytest.approx(history[chosen][key])
    assert summary["selected/collapse/nc1"] == pytest.approx(history[chosen]["collapse/nc1"])
    assert summary[f"oracle_best/{key}"] == pytest.approx(max(row[key] for row in history))
    assert summary[f"last/{key}"] == pytest.approx(history[-1][key])
    assert (summary["commit"], summary["seed"]) == (identity["git_commit"], 0)
    assert summary["versions/torch"] == identity["versions"]["torch"]
    assert summary["tags"] == "paper, wide"
    [begun] = records(file, "run")
    assert list(begun.tags) == ["paper", "wide"]
    assert (begun.run_group, begun.project, begun.display_name) == ("widths", "collapse-lit", "run")

    figures = shown(run, "figures/")
    assert {epoch for epoch, _ in figures} == {0, 1}
    assert all(image.read_bytes().startswith(PNG) for _, image in figures)
    [(epoch, page)] = shown(run, "report/page")
    assert epoch == 1
    assert page.read_bytes() == run.report.read_bytes()

    [(epoch, points)] = shown(run, "report/points")
    assert epoch == 1
    table = json.loads(points.read_text())
    assert table["columns"] == ["thumbnail", "sample", "coarse", "cluster", "fine", "x", "y"]
    assert len(table["data"]) == len(run.read_snapshots()[chosen]["xy"])
    [artifact] = records(file, "artifact")  # the table again, with the pictures that it shows
    staged = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    assert all(path.is_relative_to(run.path / "wandb") for path in staged.values())
    rows = json.loads(staged["report/points.table.json"].read_text())["data"]
    pictures = [staged[row[0]["path"]].read_bytes() for row in rows if row[0] is not None]
    assert len(rows) == len(table["data"])
    assert 400 <= len(pictures) <= 500
    assert all(picture.startswith(PNG) for picture in pictures)
    assert not list((tmp_path / "home").rglob("staging"))  # not in the home

    first_panel = [row["headline"] for row in history_rows(file) if "headline" in row]
    assert first_panel == [pytest.approx(row[key]) for row in history]
    metrics = {metric.name or metric.glob_name: metric for metric in records(file, "metric")}
    for name in ("epoch", "trainer/global_step", "measured_epoch", "reported_epoch"):
        assert metrics[name].options.hidden
    for name in ("headline", "recovery/*", "figures/*", "report/*"):
        assert metrics[name].step_metric == "epoch"
        assert not metrics[name].options.hidden

    for epochs, reports in (("2", [1]), ("3", [1, 2])):  # again when done, and then going on
        process = start(tmp_path / "run", *ARGUMENTS, epochs, HOME=str(tmp_path / "home"))
        assert process.end() == 0, process.printed
        assert [epoch for epoch, _ in shown(run, "report/page")] == reports
        assert [epoch for epoch, _ in shown(run, "report/points")] == reports
    assert summary_row(wandb_files(run)[-1])["last/epoch"] == 2


@pytest.mark.slow
def test_a_server_that_takes_no_tables_still_gets_the_curves_and_the_summary(
    start, tmp_path: Path
) -> None:
    server = WandbServer(takes_artifacts=False)
    online = {"WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567"}
    process = start(
        tmp_path / "run",
        *(*DIGITS, "--wandb.mode", "auto", "--trainer.max_epochs", "1"),
        WANDB_BASE_URL=server.switch_on(),
        **online,
    )
    assert process.end() == 0, process.printed
    server.switch_off()
    assert process.printed.count("W&B failed") == 1
    assert [row["epoch"] for row in server.rows if "headline" in row] == [0]
    assert server.summary["selected/epoch"] == 0
    assert server.summary["report/page"]["path"].startswith("media/html/")


@pytest.mark.slow
def test_the_page_of_an_offline_run_is_synced(start, tmp_path: Path) -> None:
    process = start(tmp_path / "run", *ARGUMENTS, "1")
    assert process.end() == 0, process.printed
    server = WandbServer()
    address = {"WANDB_BASE_URL": server.switch_on(), "WANDB_API_KEY": "0" * 40}
    sync = [sys.executable, "-m", "wandb", "sync", "--yes"]
    sync += [str(file.parent) for file in wandb_files(process.run)]
    subprocess.run(sync, cwd=tmp_path, env=os.environ | address, check=True, capture_output=True)
    server.switch_off()
    assert {"report/page", "report/points", "selected/epoch"} <= server.summary.keys()
