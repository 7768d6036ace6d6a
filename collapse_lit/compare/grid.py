"""``collapse-lit grid``: one run for every combination of a sweep's values."""

import argparse
import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from collapse_lit.compare.cells import Cell, fit_command, parse_options, run_cells
from collapse_lit.compare.grid_table import SWEEP, build_grid
from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import write_whole

PAPER_GRID = Path("configs/sweeps/paper_grid.yaml")
DESCRIPTION = """Run a configuration with every combination of the values in a W&B sweep file, each
into a run directory of its own below run_dir, then write grid.md, grid.json and figures/grid.png
there. The same command again continues where it stopped. In a task of a SLURM array, only the cell
with the array's index is run. All other options are those of collapse-lit fit."""


def run_grid(arguments: Sequence[str]) -> None:
    """Run or continue the grid of the configuration in ``arguments``, then compare its cells.

    Raises:
        UserError: An option is missing, or the sweep file does not list values.
        SystemExit: Cells failed, after printing their own messages.
    """
    parser = argparse.ArgumentParser("collapse-lit grid", description=DESCRIPTION)
    parser.add_argument(
        "--sweep", type=Path, default=PAPER_GRID, help="W&B sweep file (default: %(default)s)"
    )
    asked, options = parse_options(parser, arguments)
    values = read_sweep(asked.sweep)
    cells = grid_cells(values)
    write_whole(asked.run_dir / SWEEP, asked.sweep.read_bytes())
    index = os.environ.get("SLURM_ARRAY_TASK_ID")
    if index is not None:
        if int(index) >= len(cells):
            print(f"{asked.sweep} has {len(cells)} cells: task {index} has nothing to do")
            return
        name = list(cells)[int(index)]
        command = fit_command(name, cells[name], asked.run_dir, options)
        print(f"{name}: {shlex.join(command)}", flush=True)
        os.execv(command[0], command)  # the run itself then handles signals and sets the exit code
    try:
        run_cells(cells, asked.run_dir, options, Console())
    finally:
        build_grid(asked.run_dir, list(cells))


def read_sweep(path: Path) -> dict[str, list[Any]]:
    """The values of each option in a W&B sweep file.

    Raises:
        UserError: The file is missing, or it does not list values.
    """
    try:
        parameters = yaml.safe_load(path.read_text())["parameters"]
        return {option: list(parameter["values"]) for option, parameter in parameters.items()}
    except OSError as error:
        raise UserError(f"--sweep: {path}: {error.strerror}") from error
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"--sweep: {path} must be a sweep over a grid, such as parameters: "
            f"{{model.lr: {{values: [0.1, 0.01]}}}}"
        ) from error


def grid_cells(values: Mapping[str, Sequence[Any]]) -> dict[str, Cell]:
    """The cells of a grid by name, such as ``lr_0.1-weight_decay_0.005``; the last option runs
    through its values first.
    """
    cells = {}
    for combination in itertools.product(*values.values()):
        changed = dict(zip(values, combination, strict=True))
        name = "-".join(f"{key.split('.')[-1]}_{value}" for key, value in changed.items())
        meaning = ", ".join(f"{key} {value}" for key, value in changed.items())
        cells[name] = Cell(meaning, tuple(f"--{key}={value}" for key, value in changed.items()))
    return cells
