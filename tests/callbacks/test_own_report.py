"""The report folder of a monitor, also in W&B; it never stops training."""

import json
import warnings
from pathlib import Path

import pytest
from anyones import clean, fit
from lightning.pytorch.loggers import WandbLogger

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.errors import UserError
from collapse_lit.tracking.wandb_files import history_rows


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("unread_wandb")
def test_figures_and_page_are_in_wandb(tmp_path: Path, monkeypatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(project="own", offline=True, save_dir=tmp_path)
    monitors = [
        CollapseMonitor(loaders=clean, report=tmp_path / "seen"),
        RecoveryMonitor(loaders=clean),
    ]
    fit(monitors, logger=logger)
    wandb.finish()
    wandb.teardown()  # until W&B's own process has ended, the file may lack its end
    file = next((tmp_path / "wandb").glob("*run-*/run-*.wandb"))
    logged = {key for row in history_rows(file) for key in row}
    assert {"collapse/nc1", "figures/recovery.path", "report.path"} <= logged


def test_a_training_anew_replaces_what_is_there(tmp_path: Path) -> None:
    for epochs in (3, 2):
        fit([CollapseMonitor(loaders=clean, report=tmp_path)], max_epochs=epochs)
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert len(list((tmp_path / "snapshots").glob("epoch_*.npz"))) == 2
    assert not (tmp_path / "clusters.csv").exists()


@pytest.mark.parametrize("kept", ["config.yaml", "run.json"])
def test_a_run_of_ours_is_not_written_over(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).write_text("{}")
    (tmp_path / "history.jsonl").write_text('{"epoch": 0}\n')
    with pytest.raises(UserError, match="is a run of collapse-lit fit"):
        fit([CollapseMonitor(loaders=clean, report=tmp_path)])
    assert (tmp_path / "history.jsonl").read_text() == '{"epoch": 0}\n'


def test_a_folder_that_cannot_be_made_is_said_before_the_first_batch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write there"):
        fit([CollapseMonitor(loaders=clean, report=tmp_path / "file")])


def test_a_disk_that_fails_under_way_is_one_warning(tmp_path: Path, monkeypatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monitor = CollapseMonitor(loaders=clean, report=tmp_path)
    monkeypatch.setattr(monitor.report, "keep", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = fit([monitor], max_epochs=3)
    assert trainer.current_epoch == 3
    assert len([w for w in caught if "no space left" in str(w.message)]) == 1
