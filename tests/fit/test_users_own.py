"""Lightning's callbacks in a run: where they write, and which epochs they use."""

from pathlib import Path

import pytest
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory

pytestmark = [pytest.mark.usefixtures("one_figure"), pytest.mark.slow]
THIRD = ["--collapse.every_n_epochs", "3", "--recovery.every_n_epochs", "3"]


def keep_best(monitor: str) -> list[str]:
    return [
        "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint",
        *(f"--trainer.callbacks.monitor={monitor}", "--trainer.callbacks.mode=max"),
        *("--trainer.callbacks.save_top_k=-1", "--trainer.callbacks.save_last=true"),
    ]


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_a_model_checkpoint_writes_into_the_run_for_measured_epochs(
    tmp_path: Path, monkeypatch, mode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*VECTORS, *THIRD, "--trainer.max_epochs", "6", "--wandb.mode", mode]
    arguments += ["--trainer.profiler", "lightning.pytorch.profilers.SimpleProfiler"]
    arguments += ["--trainer.profiler.filename", "times", *keep_best("recovery/clp_test")]
    assert main(["fit", *arguments, "--run_dir", "runs/new"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    run = RunDirectory("runs/new")
    own = {path.name for path in (run.checkpoints / "own").iterdir()}
    assert own - {"previous.ckpt"} == {"epoch=2-step=18.ckpt", "epoch=5-step=36.ckpt", "last.ckpt"}
    assert {path.name for path in run.checkpoints.glob("*.ckpt")} == {"last.ckpt", "previous.ckpt"}
    assert list(run.path.glob("*times*"))


def test_a_key_that_nothing_measures_is_named(tmp_path: Path, capsys) -> None:
    arguments = [*VECTORS, "--trainer.max_epochs", "2", *keep_best("recovery/clp_tset")]
    assert main(["fit", *arguments, "--run_dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "ModelCheckpoint monitors 'recovery/clp_tset', which is not measured; did you" in said
    assert "'recovery/clp_test'?" in said


def test_a_line_has_its_own_epochs_numbers(tmp_path: Path, capsys) -> None:
    arguments = [*VECTORS, *THIRD, "--trainer.max_epochs", "4"]
    assert main(["fit", *arguments, "--run_dir", str(tmp_path / "run")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 4
    assert [line.split("  loss ")[0].split()[-1] for line in lines] == ["4)"] * 4
    assert ["NC1" in line for line in lines] == [False, False, True, True]
    assert ["recovered, test" in line for line in lines] == [False, False, True, True]
