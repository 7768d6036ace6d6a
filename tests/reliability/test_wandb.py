"""A failure of W&B never stops a run, and no value is lost."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reliability.processes import VECTORS
from reliability.wandb_server import WandbServer

from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_files import history_rows, records, summary_row

KEY = "0123456789abcdef0123456789abcdefdeadbeef"
USER = "somebody-in-particular"
ONLINE = {
    **{"WANDB_API_KEY": KEY, "USER": USER, "LOGNAME": USER},
    **{"WANDB_INIT_TIMEOUT": "2", "WANDB_FINISH_TIMEOUT": "2"},  # W&B's patience, in seconds
}
ARGUMENTS = [*VECTORS, "--wandb.mode", "online", "--trainer.max_epochs"]


@pytest.fixture
def server() -> Iterator[WandbServer]:
    server = WandbServer()
    yield server
    server.switch_off()


def measured(rows: list[dict]) -> list[int]:
    return [row["epoch"] for row in rows if "collapse/nc1" in row]


def local_rows(run: RunDirectory) -> list[dict]:
    files = sorted((run.path / "wandb").glob("*run-*/*.wandb"))
    return [row for file in files for row in history_rows(file)]


def who_is_named(run: RunDirectory) -> list[Path]:
    """Files that give a secret away."""
    files = [path for path in run.path.rglob("*") if path.is_file()]
    return [path for path in files if re.search(f"{KEY}|{USER}".encode(), path.read_bytes())]


@pytest.mark.long
@pytest.mark.slow
def test_after_wandb_login_a_run_is_online_and_nothing_is_said_about_offline(
    start, tmp_path: Path, server: WandbServer
) -> None:
    home, address = tmp_path / "home", server.switch_on()
    home.mkdir()
    mine = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    log_in = [sys.executable, "-m", "wandb", "login", "--host", address, KEY]
    subprocess.run(log_in, env=mine | {"HOME": str(home)}, check=True, capture_output=True)
    arguments = [*VECTORS, "--wandb.mode", "auto", "--trainer.max_epochs", "1"]
    arguments += ["--wandb.name", "option"]
    theirs = {"WANDB_NAME": "environment", "WANDB_PROJECT": "environment"}
    process = start(tmp_path / "run", *arguments, HOME=str(home), **theirs)
    assert process.end() == 0, process.printed
    assert "offline" not in process.printed
    assert "W&B failed" not in process.printed
    assert measured(server.rows) == [0]
    [file] = (process.run.path / "wandb").glob("*run-*/*.wandb")
    assert file.parent.name.startswith("run-")
    begun = next(records(file, "run"))
    assert (begun.display_name, begun.project) == ("option", "environment")
    [row] = process.run.read_history()
    summary = summary_row(file)
    assert summary["selected/epoch"] == 0
    assert summary["selected/recovery/clp_test"] == pytest.approx(row["recovery/clp_test"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "disabled"])
def test_disabled_leaves_nothing_of_w_and_b(start, tmp_path: Path, mode: str) -> None:
    environment = {"WANDB_MODE": "disabled" if mode == "auto" else "offline"}
    arguments = [*VECTORS, "--wandb.mode", mode, "--trainer.max_epochs", "1"]
    process = start(tmp_path / "run", *arguments, **environment)
    assert process.end() == 0, process.printed
    assert "W&B" not in process.printed
    assert "wandb" not in process.printed
    assert not (process.run.path / "wandb").exists()


@pytest.mark.slow
def test_online_without_a_key_is_never_a_question(start, tmp_path: Path) -> None:
    process = start(tmp_path / "run", *ARGUMENTS, "1", HOME=str(tmp_path), WANDB_API_KEY="")
    assert process.end() == 0, process.printed
    assert "W&B finds no key; run `wandb login` to save one" in process.printed
    assert measured(local_rows(process.run)) == [0]


@pytest.mark.slow
def test_a_mode_that_w_and_b_does_not_know_is_a_warning(start, tmp_path: Path) -> None:
    arguments = [*VECTORS, "--wandb.mode", "auto", "--trainer.max_epochs", "1"]
    process = start(tmp_path / "run", *arguments, WANDB_MODE="ofline")
    assert process.end() == 0, process.printed
    assert process.printed.count("W&B cannot start") == 1
    assert measured(process.run.read_history()) == [0]


@pytest.mark.slow
def test_without_a_network_a_run_is_kept_for_later(start, tmp_path: Path) -> None:
    process = start(
        tmp_path / "run", *ARGUMENTS, "2", WANDB_BASE_URL="http://127.0.0.1:9", **ONLINE
    )
    assert process.end() == 0, process.printed
    assert "W&B cannot start online" in process.printed
    assert measured(process.run.read_history()) == [0, 1]
    assert measured(local_rows(process.run)) == [0, 1]
    assert who_is_named(process.run) == []


@pytest.mark.long
@pytest.mark.slow
def test_a_network_that_dies_under_way_costs_nothing_and_is_caught_up_with(
    start, tmp_path: Path, server: WandbServer
) -> None:
    process = start(tmp_path / "run", *ARGUMENTS, "1", WANDB_BASE_URL=server.switch_on(), **ONLINE)
    assert process.end() == 0, process.printed
    assert measured(server.rows) == [0]

    server.switch_off()
    process = start(tmp_path / "run", *ARGUMENTS, "3", WANDB_BASE_URL=server.switch_on(), **ONLINE)
    process.wait_for_epochs(2)
    server.switch_off()
    assert process.end() == 0, process.printed
    assert measured(process.run.read_history()) == [0, 1, 2]
    assert measured(server.rows) == [0]

    process = start(tmp_path / "run", *ARGUMENTS, "4", WANDB_BASE_URL=server.switch_on(), **ONLINE)
    assert process.end() == 0, process.printed
    assert server.runs == {json.loads(process.run.identity.read_text())["wandb_id"]}
    assert measured(server.rows) == [0, 1, 2, 3]
    assert who_is_named(process.run) == []


@pytest.mark.slow
def test_a_wandb_that_dies_is_one_warning_and_all_epochs_can_be_synced(
    start, tmp_path: Path, server: WandbServer
) -> None:
    arguments = [*VECTORS, "--wandb.mode", "offline", "--trainer.max_epochs"]
    process = start(tmp_path / "run", *arguments, "3")
    process.wait_for_epochs(1)
    for child in process.children:
        os.kill(child, signal.SIGKILL)
    assert process.end() == 0, process.printed
    assert process.printed.count("W&B failed") == 1
    assert measured(process.run.read_history()) == [0, 1, 2]
    assert measured(local_rows(process.run)) != [0, 1, 2]

    process = start(tmp_path / "run", *arguments, "4")
    assert process.end() == 0, process.printed
    assert measured(local_rows(process.run)) == [0, 1, 2, 3]
    sync = [sys.executable, "-m", "wandb", "sync", "--yes"]
    sync += sorted(map(str, (process.run.path / "wandb").glob("offline-run-*")))
    address = {"WANDB_BASE_URL": server.switch_on(), "WANDB_API_KEY": KEY}
    subprocess.run(sync, cwd=tmp_path, env=os.environ | address, check=True, capture_output=True)
    assert measured(server.rows) == [0, 1, 2, 3]
    assert len(server.runs) == 1
