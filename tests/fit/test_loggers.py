"""Loggers other than W&B, together with W&B or instead of it."""

import csv
from pathlib import Path

import pytest
from reliability.processes import ROOT

from collapse_lit.cli import main

QUICK = [
    *("fit", "--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--trainer.enable_model_summary", "false", "--trainer.limit_train_batches", "2"),
    *("--wandb.mode", "disabled"),
]
LOGGERS = """
trainer:
  logger:
    - class_path: lightning.pytorch.loggers.CSVLogger
      init_args: {save_dir: logs, name: csv}
    - class_path: TensorBoardLogger
      init_args: {save_dir: logs, name: tb}
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("one_figure")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's own
def test_two_loggers_have_every_epoch_and_the_figures() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Path("loggers.yaml").write_text(LOGGERS)
    arguments = [*QUICK, "--config", "loggers.yaml", "--run_dir", "run"]
    assert main([*arguments, "--trainer.max_epochs", "2"]) == 0
    with Path("logs/csv/version_0/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["recovery/clp_test"]]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(row["collapse/nc1"] for row in rows)
    hparams = Path("logs/csv/version_0/hparams.yaml").read_text()
    assert "small_cnn" in hparams
    (folder,) = Path("logs/tb").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert len(events.Scalars("recovery/clp_test")) == 2
    assert "figures/recovery" in events.Tags()["images"]
    assert main([*arguments, "--trainer.max_epochs", "3"]) == 0  # it is the same experiment


def test_wandb_is_not_asked_for_twice(capsys) -> None:
    arguments = ["--trainer.logger", "WandbLogger", "--run_dir", "run"]
    assert main([*QUICK, *arguments, "--trainer.max_epochs", "1"]) == 2
    assert "--wandb.mode" in capsys.readouterr().err
    assert not Path("run").exists()
