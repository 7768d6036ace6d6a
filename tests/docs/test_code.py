"""Every code block of the README and of docs/ is run, or parsed by the program that runs it."""

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.data import TensorDataset

from collapse_lit.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_PROGRAMS = {
    "pip",
    "bash",
    "complete",
    "$(collapse-lit",
    "cd",
    "source",
    "python",
    "torchrun",
    "pre-commit",
    "spotlight",
    "tensorboard",
}
OF_A_CLASS = re.compile(r"^@measure\(\)", re.MULTILINE)  # shown as it stands in the package


def blocks(language: str) -> list[Any]:
    """All blocks of a language, each with the page it is on."""
    return [
        pytest.param(page, code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
        )
    ]


def planted(n: int = 240, d: int = 16) -> dict[str, Any]:
    """Features with two fine classes in each of five coarse ones, and what a page calls them."""
    draw = torch.Generator().manual_seed(0)
    fine = torch.arange(n) % 10
    x = 6 * torch.randn(10, d, generator=draw)[fine] + torch.randn(n, d, generator=draw)
    train, test = slice(0, n * 3 // 4), slice(n * 3 // 4, n)
    return {
        "features": x[train],
        "labels": fine[train] % 5,
        "coarse": fine[train] % 5,
        "fine": fine[train],
        "test_features": x[test],
        "test_labels": fine[test] % 5,
        "test_fine": fine[test],
        "W": torch.randn(5, d, generator=draw),
        "b": torch.zeros(5),
        "train_set": TensorDataset(x[train], fine[train] % 5),
        "test_set": TensorDataset(x[test], fine[test] % 5),
        "model": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(d, 5)),
        "pred_probs": torch.rand(n, 5, generator=draw).numpy(),
    }


@pytest.mark.parametrize(("page", "code"), blocks("python"))
@pytest.mark.usefixtures("registries_as_they_were")
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_python_runs(page: Path, code: str, tmp_path: Path, monkeypatch, capsys) -> None:
    compiled = compile(code, str(page), "exec")
    imported = re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE)
    missing = [name for name in imported if importlib.util.find_spec(name) is None]
    if missing or OF_A_CLASS.search(code) or page.stem == "discover":
        return  # run by tests/discover/test_docs.py, as far as it is installed
    monkeypatch.chdir(tmp_path)
    names = planted()
    torch.save((names["features"], names["labels"]), "features.pt")
    Path("runs/quickstart").mkdir(parents=True)
    row = {"epoch": 0, "collapse/nc1": 1.0, "recovery/clp_test": 0.5}
    Path("runs/quickstart/history.jsonl").write_text(json.dumps(row))
    exec(compiled, names)


@pytest.mark.parametrize(("page", "code"), blocks("yaml"))
def test_yaml_is_a_mapping(page: Path, code: str) -> None:
    assert isinstance(yaml.safe_load(code), dict)


def lines(code: str) -> list[list[str]]:
    """Words of each command of a shell block, without comments."""
    joined = re.sub(r"\\\n\s*", " ", code)
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize(("page", "code"), blocks("sh"))
def test_shell_commands_exist(page: Path, code: str, capsys) -> None:
    for command, *words in filter(None, lines(code)):
        program = Path(command).name
        if program == "make":
            subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)
        elif program == "collapse-lit":
            assert words[0] in COMMANDS, words
            known = help_of(words[0], capsys)
            for option in [word.split("=")[0] for word in words[1:] if word.startswith("--")]:
                assert option.split("+")[0] in known, f"{command} {words[0]} {option}"
        else:
            assert program in OTHER_PROGRAMS, command
            for script in [word for word in words if word.endswith(".py")]:
                assert (ROOT / script).exists(), script


HELP: dict[str, str] = {}


def help_of(command: str, capsys) -> str:
    """What the command prints with --help, all options of the trainer too."""
    if command not in HELP:
        for flag in ("--help", "--help.trainer") if command == "fit" else ("--help",):
            with pytest.raises(SystemExit):
                main([command, flag])
        HELP[command] = capsys.readouterr().out
        if command in ("controls", "grid", "remeasure"):
            HELP[command] += help_of("fit", capsys)
    return HELP[command]
