"""The grid runs each cell once and marks both choices; W&B's agent runs the same cells."""

import json
import os
import queue
import sys
from pathlib import Path

import pytest
import yaml
from wandb.wandb_agent import Agent

from collapse_lit.cli import main
from collapse_lit.compare import grid
from collapse_lit.compare.grid import PAPER_GRID, grid_cells, read_sweep
from collapse_lit.compare.grid_rows import read_cells
from collapse_lit.compare.grid_table import grid_figure, in_markdown
from collapse_lit.tracking.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
PAPER = ROOT / PAPER_GRID
TINY = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--model.backbone_args", "{width: 4}", "--trainer.max_epochs", "1"),
    *("--trainer.limit_train_batches", "6", "--trainer.enable_model_summary", "false"),
]
NAMES = ["lr_0.1-weight_decay_0.005", "lr_0.1-weight_decay_0.0005", "lr_0.1-weight_decay_5e-05"]


def measured(run_dir: Path, *epochs: tuple[float, float, float]) -> None:
    """A run with these (separation, stability, recovered on test)."""
    run = RunDirectory(run_dir)
    run.create()
    for epoch, (separation, stability, recovered) in enumerate(epochs):
        run.append_history(
            {
                "epoch": epoch,
                "test/acc_coarse": 0.9,
                "recovery/separation": separation,
                "recovery/stability": stability,
                "recovery/clp_test": recovered,
            }
        )


def test_the_papers_grid_is_nine_cells() -> None:
    cells = grid_cells(read_sweep(PAPER))
    assert len(cells) == 9
    assert list(cells)[:3] == NAMES
    assert cells[NAMES[2]].overrides == ("--model.lr=0.1", "--model.weight_decay=5e-05")


def test_the_cell_chosen_without_fine_labels_need_not_be_the_best(tmp_path: Path) -> None:
    measured(tmp_path / "a", (0.5, 0.9, 0.80), (0.2, 0.9, 0.99))  # its first epoch is chosen
    measured(tmp_path / "b", (0.4, 0.9, 0.85))
    rows = read_cells(tmp_path, ["a", "b", "not run"])
    assert [(row["cell"], row["epoch"], row["chosen"], row["best"]) for row in rows] == [
        ("a", 0, True, False),
        ("b", 0, False, True),
    ]
    assert rows[0]["score"] == pytest.approx((0.5 + 0.186) * 0.9 * 0.9)  # × coarse accuracy
    table = in_markdown(rows).splitlines()
    assert table[2].startswith("| a ● | 0 | 0.9000 | – |")
    assert table[3].startswith("| b ★ | 0 |")
    figure = grid_figure(rows, ["a", "b", "not run"], {"model.lr": [1], "x": [1, 2, 3]})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["0.8000 ●", "0.8500 ★"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure", "cells_in_process")
def test_cells_are_run_once_and_reported(tmp_path: Path, capfd) -> None:
    sweep = tmp_path / "two.yaml"
    sweep.write_text(
        "parameters: {model.lr: {values: [0.1, 0.01]}, data.batch_size: {values: [64]}}"
    )
    arguments = ["--sweep", str(sweep), "--run_dir", str(tmp_path / "grid"), *TINY]
    assert main(["grid", *arguments, "--wandb.mode", "disabled"]) == 0
    rows = json.loads((tmp_path / "grid/grid.json").read_text())
    assert [row["cell"] for row in rows] == ["lr_0.1-batch_size_64", "lr_0.01-batch_size_64"]
    for row, lr in zip(rows, (0.1, 0.01), strict=True):
        run = RunDirectory(tmp_path / "grid" / row["cell"])
        assert yaml.safe_load(run.config.read_text())["model"]["lr"] == lr
        assert row["recovery/clp_test"] == run.read_history()[-1]["recovery/clp_test"]
    assert (tmp_path / "grid/figures/grid.png").read_bytes().startswith(b"\x89PNG")
    assert "./lr_0.01-batch_size_64/report.html" in (tmp_path / "grid/report.html").read_text()
    kept = list((tmp_path / "grid").glob("*/checkpoints/last.ckpt"))
    before = [path.stat().st_mtime_ns for path in kept]
    assert main(["grid", *arguments, "--wandb.mode", "disabled"]) == 0
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert len(before) == 2

    (tmp_path / "grid/grid.md").unlink()
    capfd.readouterr()
    assert main(["report", str(tmp_path / "grid")]) == 0
    assert (tmp_path / "grid/grid.md").exists()
    assert "lr_0.01-batch_size_64" in capfd.readouterr().out


def test_a_task_of_a_slurm_array_is_its_cell(tmp_path: Path, monkeypatch) -> None:
    became = []
    monkeypatch.setattr(grid.os, "execv", lambda program, command: became.append(command))
    monkeypatch.setattr(grid, "run_cells", lambda *_: None)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert main(["grid", "--sweep", str(PAPER), "--run_dir", str(tmp_path), *TINY]) == 0
    assert f"--run_dir={tmp_path / NAMES[1]}" in became[0]
    assert became[0][-2:] == ["--model.lr=0.1", "--model.weight_decay=0.0005"]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")  # not cell 0 again, in which another task trains
    assert main(["grid", "--sweep", str(PAPER), "--run_dir", str(tmp_path), *TINY]) == 0
    assert len(became) == 1


@pytest.mark.long
@pytest.mark.slow
def test_wandbs_agent_runs_two_cells(tmp_path: Path, monkeypatch) -> None:
    """The agent's own code makes the commands and starts them; only the server is missing."""
    sweep = yaml.safe_load(PAPER.read_text())
    for name in ("configs", "collapse_lit"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"WANDB_SWEEP_ID": "sweep1", "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    for key, value in {**environment, "PATH": path, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(key, value)
    for key in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # the agent sets them
        monkeypatch.setenv(key, "")
    monkeypatch.chdir(tmp_path)
    agent = Agent(api=None, queue=queue.Queue(), sweep_id="sweep1")
    agent._sweep_command = [*sweep["command"], *TINY[2:]]
    for run_id, lr in (("first", 0.1), ("second", 0.001)):
        changed = {"model.lr": {"value": lr}, "model.weight_decay": {"value": 5e-5}}
        agent._command_run({"run_id": run_id, "program": None, "args": changed})
    for run_id, lr in (("first", 0.1), ("second", 0.001)):
        assert agent._run_processes[run_id].wait(timeout=120) == 0
        run = RunDirectory(tmp_path / "runs/sweep1" / run_id)
        model = yaml.safe_load(run.config.read_text())["model"]
        assert (model["lr"], model["weight_decay"]) == (lr, 5e-5)
        assert json.loads(run.identity.read_text())["wandb_id"] == run_id
        assert list(run.path.glob(f"wandb/offline-run-*/run-{run_id}.wandb"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("parameters: {model.lr: {min: 0, max: 1}}", "must be a sweep over a grid"),
        ("parameters: [1]", "must be a sweep over a grid"),
        ("a: [", "must be a sweep over a grid"),
    ],
)
def test_a_sweep_that_is_no_grid_is_refused(tmp_path: Path, content, said: str, capsys) -> None:
    path = tmp_path / "sweep.yaml"
    if content is not None:
        path.write_text(content)
    assert main(["grid", "--sweep", str(path), "--run_dir", str(tmp_path / "grid")]) == 2
    assert said in capsys.readouterr().err
