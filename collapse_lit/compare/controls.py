"""``collapse-lit controls``: a run and the controls needed to interpret its recovery."""

import argparse
from collections.abc import Sequence

from rich.console import Console

from collapse_lit.compare.cells import Cell, parse_options, run_cells
from collapse_lit.compare.controls_table import build_controls
from collapse_lit.errors import UserError

DESCRIPTION = """Run a configuration and its controls, each in its own run directory below
run_dir, then write controls.md, controls.json and figures/controls.png there. The same command
again continues where it stopped. All other options are those of collapse-lit fit."""


NOT_TRAINED = "--trainer.max_epochs=0"

CONTROLS = {
    "trained": Cell("the run as configured"),
    "untrained": Cell("the same network before training", (NOT_TRAINED,)),
    "pixels": Cell(
        "the normalised pixels as features",
        ("--model.backbone=pixels", "--model.backbone_args={}", NOT_TRAINED),
    ),
    "shuffled": Cell(
        "trained on randomly permuted coarse labels, measured with the true labels",
        ("--data.shuffle_coarse=true",),
    ),
    "random-split": Cell(
        "trained on the original classes; the fine classes are random halves, so nothing can be "
        "found",
        ("--data.split=2", "--data.coarse=parents", "--recovery.k=given"),
    ),
    "fine": Cell(
        "trained on all fine labels, for the accuracy of ordinary training",
        ("--data.coarse=identity", "--recovery.k=given"),
    ),
}


def run_controls(arguments: Sequence[str]) -> None:
    """Run or continue the controls of the configuration in ``arguments``, then compare them.

    Raises:
        UserError: ``--run_dir`` is missing, or ``--only`` names an unknown control.
        SystemExit: A run failed, after its own message.
    """
    parser = argparse.ArgumentParser("collapse-lit controls", description=DESCRIPTION)
    parser.add_argument(
        "--only",
        default=",".join(CONTROLS),
        help="controls to run, separated by commas (default: %(default)s)",
    )
    asked, options = parse_options(parser, arguments)
    names = asked.only.split(",")
    for name in names:
        if name not in CONTROLS:
            raise UserError(
                f"--only: unknown control {name!r}; the controls are {', '.join(CONTROLS)}"
            )
    console = Console()
    run_cells({name: CONTROLS[name] for name in names}, asked.run_dir, options, console)
    meanings = {name: control.meaning for name, control in CONTROLS.items()}
    build_controls(asked.run_dir, meanings, console)
