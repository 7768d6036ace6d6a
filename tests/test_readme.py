"""Links, targets and commands in the README and docs/ must exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL = "\n".join(page.read_text() for page in PAGES)


def planned(*arguments: str) -> str:
    """What make would run, without running it; a make around these tests has its own options."""
    of_make = ("ARGS", "EXPERIMENT", "RUN", "MAKEFLAGS", "MAKEOVERRIDES")
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name not in of_make},
    )
    return done.stdout.replace("\\\n", "")


@pytest.mark.slow
def test_make_train_does_what_it_says(tmp_path: Path) -> None:
    """The command behind ``make train``, shortened and run: it leaves what the README lists."""
    assert re.search(r"^make train\b", README, re.MULTILINE)
    words = planned("train").strip().splitlines()[-1].split()
    assert words[:2] == [".venv/bin/collapse-lit", "fit"]
    assert words[-2:] == ["--run_dir", "runs/quickstart"]
    arguments = [str(ROOT / word) if word.startswith("configs/") else word for word in words[1:-2]]
    arguments += ["--run_dir", str(tmp_path / "quickstart"), "--trainer.max_epochs", "1"]
    assert main([*arguments, "--wandb.mode", "offline", "--trainer.accelerator", "cpu"]) == 0
    run = RunDirectory(tmp_path / "quickstart")
    page = (ROOT / "docs/run_directory.md").read_text()
    promised = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (.*?) \|", page, re.M)))
    assert len(promised) >= 9
    for name in promised:
        pattern = name.replace("NNN", "*") if "last" not in name else name
        if pattern != "checkpoints/epoch_*.ckpt":  # kept every tenth epoch
            assert list(run.path.glob(pattern)), name


def test_make_test_runs_the_suite() -> None:
    assert re.search(r"^make test\b", README, re.MULTILINE)
    assert planned("test").strip().splitlines()[-1].split()[:3] == [
        ".venv/bin/python",
        "-m",
        "pytest",
    ]


def test_every_target_and_experiment_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", ALL, re.MULTILINE))
    assert {"train", "test", "help", "resume", "watch", "report"} <= named <= targets
    for experiment in re.findall(r"EXPERIMENT=(\w+)", ALL):
        assert (ROOT / "configs" / f"{experiment}.yaml").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    for link in links:
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def headings(page: Path) -> set[str]:
    """What the headings of a Markdown page are called in links to them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_option_named_exists(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help.trainer"])
    known = capsys.readouterr().out
    for option in set(re.findall(r"(?<!\w)--[a-z]+\.[a-z_]+", ALL)):
        assert option in known, option


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("setup", "train", "resume", "report", "watch", "test", "lint", "bench"):
        assert f"make {target} " in done.stdout
