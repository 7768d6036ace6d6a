"""Runs to compare: one configuration with a few options that change from cell to cell."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from collapse_lit.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, EXIT_STOPPED, UserError


@dataclass(frozen=True)
class Cell:
    """The options that one run changes.

    Attributes:
        meaning: Description for the reader of the table.
        overrides: Options of ``collapse-lit fit`` that turn the configuration into this cell.
    """

    meaning: str
    overrides: tuple[str, ...] = ()


def run_cells(
    cells: Mapping[str, Cell], run_dir: Path, options: Sequence[str], console: Console
) -> None:
    """Run or continue each cell in ``run_dir`` / its name, and skip finished cells.

    Each cell runs in its own process, so it starts like a single run, on any number of devices. If
    a cell fails, the other cells still run.

    Raises:
        SystemExit: Cells failed, after printing their own messages. A user's mistake or a request
            to stop exits at once, because the next cell would end in the same way.
    """
    failed = {}
    for name, cell in cells.items():
        console.print(f"\n[bold]{name}[/bold]: {cell.meaning}", highlight=False)
        with _left_to_the_cell(signal.SIGINT):
            code = subprocess.run(fit_command(name, cell, run_dir, options)).returncode
        if code in (EXIT_MISTAKE, EXIT_STOPPED, EXIT_INTERRUPTED):
            raise SystemExit(code)
        if code:
            failed[name] = code
    if failed:
        console.print(f"failed: {', '.join(failed)}; the same command runs them again")
        raise SystemExit(1)


@contextmanager
def _left_to_the_cell(number: signal.Signals) -> Iterator[None]:
    """Leave a signal to the cell, which also receives it, and exit with the cell's code.

    Python would kill the cell a quarter of a second after Ctrl-C.
    """
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)


def fit_command(name: str, cell: Cell, run_dir: Path, options: Sequence[str]) -> list[str]:
    """The command that runs or continues one cell: the user's options, then the cell's options."""
    fit = [sys.executable, "-m", "collapse_lit", "fit"]
    return [*fit, *options, f"--run_dir={run_dir / name}", *cell.overrides]


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options that ``parser`` knows, including ``run_dir``, and the remaining options of
    ``fit``.

    Raises:
        UserError: ``--run_dir`` is missing, or an option of the parser is invalid.
    """
    parser.allow_abbrev, parser.exit_on_error = False, False
    command = parser.prog.split()[-1]
    parser.add_argument(
        "--run_dir", type=Path, help=f"directory of the runs, such as runs/quickstart-{command}"
    )
    try:
        asked, options = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error} ({parser.prog} --help)") from error
    if asked.run_dir is None:
        raise UserError(
            "--run_dir is missing: give the directory of the runs, such as "
            f"runs/quickstart-{command}"
        )
    return asked, options
