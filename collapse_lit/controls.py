"""``collapse-lit controls``: a run beside those without which its recovery means nothing."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from collapse_lit.errors import UserError
from collapse_lit.report.controls import build_controls

DESCRIPTION = """Run a configuration and its controls, each into a run directory of its own below
run_dir, then write controls.md, controls.json and figures/controls.png there. The same command
again continues where it stopped. All other options are those of collapse-lit fit."""


@dataclass(frozen=True)
class Control:
    """What is done differently, and nothing else.

    Attributes:
        meaning: What it is, for the reader of the table.
        overrides: Options of ``collapse-lit fit`` that make a configuration this control.
    """

    meaning: str
    overrides: tuple[str, ...] = ()


NOT_TRAINED = "--trainer.max_epochs=0"

CONTROLS = {
    "trained": Control("the run as configured"),
    "untrained": Control("the same network as it was initialised", (NOT_TRAINED,)),
    "pixels": Control(
        "the normalised pixels themselves as features",
        ("--model.backbone=pixels", "--model.backbone_args={}", NOT_TRAINED),
    ),
    "shuffled": Control(
        "trained on coarse labels permuted over the training images, measured by the true ones",
        ("--data.shuffle_coarse=true",),
    ),
    "random-split": Control(
        "trained on the original classes, each split at random in two: there is nothing to find",
        ("--data.split=2", "--data.coarse=parents", "--recovery.k=given"),
    ),
    "fine": Control(
        "trained on all fine labels: its accuracy is that of ordinary training",
        ("--data.coarse=identity", "--recovery.k=given"),
    ),
}


def run_controls(arguments: Sequence[str]) -> None:
    """Run or continue the controls of the configuration in ``arguments``, then compare them.

    Each is a process of its own, so that it starts as a run alone would, on any number of devices.

    Raises:
        UserError: ``--run_dir`` is missing, or ``--only`` names no control.
        SystemExit: A run failed; with its exit code, after its own message.
    """
    run_dir, names, options = _parse(arguments)
    console = Console()
    for name in names:
        console.print(f"\n[bold]{name}[/bold]: {CONTROLS[name].meaning}", highlight=False)
        done = subprocess.run(fit_command(name, run_dir, options))
        if done.returncode:
            raise SystemExit(done.returncode)
    build_controls(run_dir, {name: control.meaning for name, control in CONTROLS.items()}, console)


def fit_command(name: str, run_dir: Path, options: Sequence[str]) -> list[str]:
    """The command that runs or continues one control: the user's options, then the control's."""
    fit = [sys.executable, "-m", "collapse_lit", "fit"]
    return [*fit, *options, f"--run_dir={run_dir / name}", *CONTROLS[name].overrides]


def _parse(arguments: Sequence[str]) -> tuple[Path, list[str], list[str]]:
    """Where to, which controls, and the options of ``fit``."""
    parser = argparse.ArgumentParser(
        "collapse-lit controls", description=DESCRIPTION, allow_abbrev=False, exit_on_error=False
    )
    parser.add_argument("--run_dir", type=Path, help="such as runs/quickstart-controls")
    parser.add_argument("--only", default=",".join(CONTROLS), help="some of %(default)s")
    try:
        asked, options = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error} (collapse-lit controls --help)") from error
    if asked.run_dir is None:
        raise UserError("--run_dir: say where the controls go, such as runs/quickstart-controls")
    names = asked.only.split(",")
    for name in names:
        if name not in CONTROLS:
            raise UserError(
                f"--only: there is no control {name!r}; there are {', '.join(CONTROLS)}"
            )
    return asked.run_dir, names, options
