"""A harmless failure causes one warning; a serious failure ends the run with its own message."""

from pathlib import Path

import pytest
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.fit import figures as run_pictures
from collapse_lit.models import CoarseClassifier
from collapse_lit.report import page
from collapse_lit.tracking.run_directory import RunDirectory


@pytest.mark.slow
def test_figures_that_fail_are_one_warning(tmp_path: Path, monkeypatch, recwarn) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("cannot draw this")

    monkeypatch.setattr(run_pictures, "run_figures", fail)
    monkeypatch.setattr(run_pictures, "SHARE_OF_TIME", 1.0)
    monkeypatch.setattr(page, "run_figures", lambda *a: ())
    arguments = [*VECTORS, "--trainer.max_epochs", "3", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *arguments]) == 0
    said = [str(warning.message) for warning in recwarn]
    assert said.count("could not draw the figures: ValueError('cannot draw this')") == 1
    assert len(RunDirectory(tmp_path / "run").read_history()) == 3


@pytest.mark.slow
def test_an_exception_in_training_is_not_swallowed(tmp_path: Path, monkeypatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("in the third step")

    monkeypatch.setattr(CoarseClassifier, "training_step", fail)
    with pytest.raises(ZeroDivisionError, match="in the third step"):
        main(["fit", *VECTORS, "--trainer.max_epochs", "1", "--run_dir", str(tmp_path / "run")])
