"""What a scheduler does to a run: ask it to stop, or start it twice."""

import signal
from pathlib import Path

import pytest
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.errors import EXIT_STOPPED
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
        said = f"stopped by {number.name} with {done} epochs done; the same command goes on"
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
