"""``collapse-lit report``: rebuild the figures, tables and page of a run or a grid."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from collapse_lit.compare.grid import grid_cells, read_sweep
from collapse_lit.compare.grid_table import SWEEP, build_grid
from collapse_lit.report import build_report


def run_report(arguments: Sequence[str]) -> None:
    """Rebuild the figures, tables and page of a run or a grid.

    Raises:
        UserError: The directory holds no run.
    """
    parser = argparse.ArgumentParser(
        "collapse-lit report",
        description="Rebuild the figures and page of a run or a grid.",
    )
    parser.add_argument(
        "run_dir", type=Path, help="directory of the run or grid, such as runs/quickstart"
    )
    run_dir = parser.parse_args(arguments).run_dir
    if (run_dir / SWEEP).exists():
        build_grid(run_dir, list(grid_cells(read_sweep(run_dir / SWEEP))))
    else:
        print(build_report(run_dir))
