"""Runs that belong together: one configuration, a few options changed from cell to cell."""

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
    """What is done differently in one run, and nothing else.

    Attributes:
        meaning: What it is, for the reader of the table.
        overrides: Options of ``collapse-lit fit`` that make a configuration this cell.
    """

    meaning: str
    overrides: tuple[str, ...] = ()


def run_cells(
    cells: Mapping[str, Cell], run_dir: Path, options: Sequence[str], console: Console
) -> None:
    """Run or continue each cell in ``run_dir`` / its name; finished ones are left as they are.

    Each is a process of its own, so that it starts as a run alone would, on any number of devices.
    A cell that fails does not keep the others from running.

    Raises:
        SystemExit: Cells failed, after their own messages. At once where the next one would end
            alike: after a user's mistake, or when the run was asked to stop.
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
    """Let a signal end the cell, which it reaches as well, and this process by the cell's code.

    Python would kill a cell that has not ended a quarter of a second after Ctrl-C.
    """
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)


def fit_command(name: str, cell: Cell, run_dir: Path, options: Sequence[str]) -> list[str]:
    """The command that runs or continues one cell: the user's options, then the cell's."""
    fit = [sys.executable, "-m", "collapse_lit", "fit"]
    return [*fit, *options, f"--run_dir={run_dir / name}", *cell.overrides]


def parse_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """What ``parser`` knows, with a ``run_dir`` in it, and the rest: options of ``fit``.

    Raises:
        UserError: ``--run_dir`` is missing, or an option of the parser's is not as it should be.
    """
    parser.allow_abbrev, parser.exit_on_error = False, False
    command = parser.prog.split()[-1]
    parser.add_argument("--run_dir", type=Path, help=f"such as runs/quickstart-{command}")
    try:
        asked, options = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"{error} ({parser.prog} --help)") from error
    if asked.run_dir is None:
        raise UserError(f"--run_dir: say where the runs go, such as runs/quickstart-{command}")
    return asked, options
