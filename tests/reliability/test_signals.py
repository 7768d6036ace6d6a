"""A scheduler can ask a run to stop, or start it twice."""

import signal
import time
from pathlib import Path

import pytest
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.errors import EXIT_INTERRUPTED, EXIT_STOPPED
from collapse_lit.tracking.checkpoints import newest_checkpoint


@pytest.mark.slow
def test_a_run_asked_to_stop_says_so_and_goes_on_later(start, tmp_path: Path) -> None:
    arguments = [*VECTORS, "--trainer.max_epochs", "200"]
    done = 0
    for number in (signal.SIGTERM, signal.SIGUSR1):
        process = start(tmp_path / "run", *arguments)
        process.wait_for_epochs(done + 1)
        process.send(number)
        assert process.end(seconds=30) == EXIT_STOPPED, process.printed
        done = len(process.run.read_history())
        said = f"stopped by {number.name} with {done} epochs done; run the same command again"
        assert said in process.printed
        assert newest_checkpoint(process.run) == process.run.last_checkpoint
        assert "Traceback" not in process.printed


@pytest.mark.slow
def test_a_second_process_in_the_same_directory_is_refused(start, tmp_path: Path, capsys) -> None:
    process = start(tmp_path / "run", *VECTORS, "--trainer.max_epochs", "200")
    process.wait_for_epochs(1)
    before = process.run.config.read_bytes()
    arguments = [*VECTORS, "--trainer.max_epochs", "1", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *arguments]) == 2
    assert f"another process is training in {tmp_path / 'run'}" in capsys.readouterr().err
    assert process.is_alive
    assert process.run.config.read_bytes() == before
    process.send(signal.SIGKILL)
    process.end()
    assert main(["fit", *arguments]) == 0  # a kill leaves no lock behind


@pytest.mark.slow
def test_ctrl_c_says_what_the_same_command_does(start, tmp_path: Path) -> None:
    arguments = [*VECTORS, "--trainer.max_epochs", "200"]
    process = start(tmp_path / "run", *arguments)
    process.wait_for_epochs(2)
    process.send(signal.SIGINT)
    assert process.end(seconds=30) == EXIT_INTERRUPTED, process.printed
    done = len(process.run.read_history())
    assert (
        f"stopped by Ctrl-C with {done} epochs done; run the same command again to continue"
        in process.printed
    )
    assert newest_checkpoint(process.run) == process.run.last_checkpoint
    for said in ("Traceback", "KeyboardInterrupt", "graceful"):
        assert said not in process.printed
    again = [*VECTORS, "--trainer.max_epochs", str(done + 1)]
    process, whole = start(tmp_path / "run", *again), start(tmp_path / "whole", *again)
    assert (process.end(), whole.end()) == (0, 0), process.printed
    assert process.run.history.read_bytes() == whole.run.history.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_measuring_waits_once(start, tmp_path: Path, times: int) -> None:
    process = start(tmp_path / "run", *VECTORS, "--trainer.max_epochs", "200", traced=True)
    process.wait_for_epochs(1)
    while process.phase != "measuring":
        assert process.is_alive
        time.sleep(0.001)
    for _ in range(times):
        process.send(signal.SIGINT)
        time.sleep(0.02)
    assert process.end(seconds=30) == EXIT_INTERRUPTED, process.printed
    assert "press Ctrl-C again to stop at once" in process.printed
    assert "epochs done; run the same command again to continue" in process.printed
    assert "Traceback" not in process.printed
    rows = process.run.read_history()
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert not list(process.run.path.rglob("*.ckpt.*"))


@pytest.mark.slow
def test_ctrl_c_at_the_start_is_no_failure(start, tmp_path: Path) -> None:
    process = start(tmp_path / "run", *VECTORS, "--trainer.max_epochs", "2", traced=True)
    while process.phase != "starting":
        time.sleep(0.001)
    time.sleep(0.2)
    process.send(signal.SIGINT)
    assert process.end(seconds=30) == EXIT_INTERRUPTED, process.printed
    assert "stopped by Ctrl-C" in process.printed
    assert "Traceback" not in process.printed
