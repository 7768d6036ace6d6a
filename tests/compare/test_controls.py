"""Controls: each changes one thing, and the null model finds nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lit.callbacks import CollapseMonitor, clean_pass
from collapse_lit.cli import main
from collapse_lit.compare.cells import fit_command
from collapse_lit.compare.controls import CONTROLS
from collapse_lit.compare.controls_table import controls_figure, in_markdown, read_controls
from collapse_lit.errors import UserError
from collapse_lit.features import Features
from collapse_lit.reading.activations import LastLayer
from collapse_lit.tracking.continuation import check_same_experiment
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import write_json, write_whole

pytestmark = pytest.mark.usefixtures("one_figure")

QUICKSTART = str(Path(__file__).parents[2] / "configs/quickstart.yaml")
TINY = [
    *("--config", QUICKSTART, "--trainer.accelerator", "cpu", "--wandb.mode", "disabled"),
    *("--model.backbone_args", "{width: 4}", "--trainer.max_epochs", "1"),
    *("--trainer.limit_train_batches", "6", "--trainer.enable_model_summary", "false"),
]


def measured(name: str, run_dir: Path, *options: str) -> dict:
    """The last row of a control, run in this process."""
    assert main(fit_command(name, CONTROLS[name], run_dir, [*TINY, *options])[3:]) == 0
    return RunDirectory(run_dir / name).read_history()[-1]


@pytest.mark.long
@pytest.mark.slow
def test_two_cells_one_table_and_nothing_twice(tmp_path: Path, capfd, request) -> None:
    arguments = ["controls", "--run_dir", str(tmp_path), "--only", "trained,untrained", *TINY]
    assert main(arguments) == 0
    assert "untrained: the same network" in capfd.readouterr().out
    rows = json.loads((tmp_path / "controls.json").read_text())
    assert [row["control"] for row in rows] == ["trained", "untrained"]
    for row in rows:
        summary = json.loads((tmp_path / row["control"] / "summary.json").read_text())
        for key in ("recovery/clp_test", "recovery/clp_test_inside", "collapse/nc1"):
            assert row[key] == summary[key]
        assert row["above_chance"] == pytest.approx(2 * row["recovery/clp_test_inside"] - 1)
    table = (tmp_path / "controls.md").read_text()
    assert f"| {rows[1]['recovery/clp_test']:.4f} |" in table
    assert (tmp_path / "figures/controls.png").read_bytes().startswith(b"\x89PNG")
    untrained = RunDirectory(tmp_path / "untrained")
    assert len(untrained.read_history()) == 1
    for path in (untrained.config, untrained.report, untrained.figures / "residuals.png"):
        assert path.exists(), path

    kept = [
        *tmp_path.glob("*/history.jsonl"),
        *tmp_path.glob("*/snapshots/*.npz"),
        tmp_path / "trained/checkpoints/last.ckpt",
    ]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert len(before) == 7
    request.getfixturevalue("cells_in_process")
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert json.loads((tmp_path / "controls.json").read_text()) == rows

    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--model.lr", "0.3"])
    assert "model.lr was 0.05, now 0.3" in capfd.readouterr().err


@pytest.mark.long
@pytest.mark.slow
def test_nothing_is_found_in_a_random_split(tmp_path: Path) -> None:
    """Six seeds of 500 held-out images each: a standard error of 0.01 around one half."""
    inside = []
    for seed in range(6):
        options = ["--seed_everything", str(seed), "--trainer.limit_train_batches", "1.0"]
        row = measured("random-split", tmp_path / str(seed), *options)
        assert row["recovery/chance"] == 0.5
        assert row["recovery/acc"] > 0.5  # matched where it was found: no estimate of anything
        inside.append(row["recovery/clp_test_inside"])
    assert np.mean(inside) == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_a_leaked_label_would_be_found_in_a_random_split(tmp_path: Path, monkeypatch) -> None:
    honest = clean_pass.extract_features

    def leaky(*arguments, **options) -> Features:
        found = honest(*arguments, **options)
        column = found.features.std() * (found.fine % 2 * 2.0 - 1)
        wider = torch.column_stack([found.features, column])
        return dataclasses.replace(found, features=wider, last=LastLayer())

    monkeypatch.setattr(clean_pass, "extract_features", leaky)
    monkeypatch.setattr(CollapseMonitor, "warn", lambda self, sentence: None)
    assert measured("random-split", tmp_path)["recovery/clp_test_inside"] > 0.9


@pytest.mark.slow
def test_pixels_are_measured_as_they_are(tmp_path: Path) -> None:
    row = measured("pixels", tmp_path)
    assert row["recovery/probe_test"] > 0.9
    assert "train/loss" not in row
    with np.load(tmp_path / "pixels/snapshots/epoch_000.npz") as arrays:
        assert arrays["class_distances"].shape == (10, 10)


def test_an_option_newer_than_a_run_has_its_default_there(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write_whole(run.config, b"data: {source: digits}")
    run.append_history({"epoch": 0})
    defaults = {"data": {"source": "gaussian", "shuffle_coarse": False}}
    now = {"data": {"source": "digits", "shuffle_coarse": False}}
    check_same_experiment(run, now, defaults)
    now["data"]["shuffle_coarse"] = True
    with pytest.raises(UserError, match=r"data\.shuffle_coarse was False, now True"):
        check_same_experiment(run, now, defaults)


def test_a_control_differs_in_its_own_options_alone() -> None:
    options = ["--model.lr", "0.3"]
    plain = fit_command("trained", CONTROLS["trained"], Path("runs"), options)
    for name, control in CONTROLS.items():
        command = fit_command(name, control, Path("runs"), options)
        assert command == [*plain[:-1], f"--run_dir=runs/{name}", *control.overrides]


def test_where_nothing_is_hidden_only_the_accuracy_is_shown(tmp_path: Path) -> None:
    scores = {"recovery/clp_test": 0.9, "recovery/clp_test_inside": 0.9, "recovery/floor": 0.3}
    common = {"epoch": 4, "test/acc_coarse": 0.8, "collapse/nc1": 1e-6, **scores}
    write_json(tmp_path / "trained/summary.json", {**common, "recovery/chance": 1 / 3})
    write_json(tmp_path / "fine/summary.json", {**common, "recovery/chance": 1.0})
    trained, fine = read_controls(tmp_path, ["trained", "pixels", "fine"])
    assert trained["above_chance"] == pytest.approx(0.85)
    assert (fine["test/acc_coarse"], fine["recovery/clp_test"], fine["epoch"]) == (0.8, None, 4)
    line = in_markdown([fine]).splitlines()[-1]
    assert line == "| fine | 0.8000 | 1.00e-06 |" + " – |" * 9
    shown = controls_figure([trained, fine]).axes[0]
    assert [text.get_text() for text in shown.get_yticklabels()] == ["trained", "fine"]
    assert [line.get_xydata().tolist() for line in shown.lines] == [
        [[0.3, 0]],
        [[0.9, 0]],
        [[0.8, 1]],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--run_dir is missing"),
        (["--run_dir", "x", "--only", "trained,pixel"], "--only: unknown control 'pixel'"),
        (["--run_dir"], "--run_dir"),
    ],
)
def test_a_mistake_is_one_clear_message(arguments: list[str], said: str, capsys) -> None:
    assert main(["controls", "--config", QUICKSTART, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage:" not in error


@pytest.mark.slow
def test_a_mistake_in_an_option_of_fit_ends_it_with_that_message(tmp_path: Path, capfd) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["controls", *TINY, "--run_dir", str(tmp_path), "--model.lrr", "1"])
    assert "--model.lrr" in capfd.readouterr().err
    assert not (tmp_path / "controls.md").exists()
