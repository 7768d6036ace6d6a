"""The summary of a run in the terminal."""

import sys
from io import StringIO
from pathlib import Path

from example_run import write_run
from rich.console import Console

from collapse_lit.report.terminal import as_called, print_summary, what_was_seen


def last_words(run) -> str:
    said = StringIO()
    print_summary(run, Console(file=said, width=200))
    return said.getvalue()


def test_a_run_ends_with_what_was_seen_and_what_to_do_next(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    said = last_words(run)
    assert "NC1 went from 1.0000 to 0.7290." in said
    assert "60% (train)" in said
    assert "88% of the test images, random clusters for 50%" in said
    assert f"collapse-lit discover --run {run.path} --out {run.path / 'found'}" in said


def test_the_next_command_is_one_that_the_shell_finds(tmp_path: Path, monkeypatch) -> None:
    """After `make train`, `collapse-lit` alone is often not found."""
    program = tmp_path / "bin/collapse-lit"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert as_called() == str(program)
    assert f"  {program} discover --run" in last_words(write_run(tmp_path / "run"))
    monkeypatch.setenv("PATH", str(program.parent))
    assert as_called() == "collapse-lit"


def test_a_run_without_fine_labels_claims_nothing(tmp_path: Path) -> None:
    assert "random clusters" not in last_words(write_run(tmp_path / "run", told=False))


def test_an_untrained_network_went_nowhere() -> None:
    row = {"epoch": 0, "collapse/nc1": 1.0, "recovery/clp_test": 0.3, "recovery/floor": 0.2}
    assert "NC1" not in what_was_seen(row, row)
