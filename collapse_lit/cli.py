"""The command line: ``collapse-lit COMMAND ...``, one entry of ``COMMANDS`` each."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from collapse_lit import __version__
from collapse_lit.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, UserError, did_you_mean

COMMANDS = {
    "fit": "train on coarse labels, measure collapse and recovery; run it again to resume",
    "remeasure": "measure a run's checkpoints again, with other options or a newer version",
    "controls": "train the same run and its controls, and compare them in one table and figure",
    "grid": "train every combination of a sweep's values, and compare them in one table and figure",
    "discover": "find hidden sub-classes in your own classifier, from its features or a run",
    "predict": "predict the names of these sub-classes for new samples",
    "report": "rebuild the figures and the page of a run, or the table of a grid",
}
RUN_BY = {  # imported on use: importing Lightning takes seconds
    "fit": "collapse_lit.fit.command:fit",
    "remeasure": "collapse_lit.fit.remeasure:remeasure",
    "controls": "collapse_lit.compare.controls:run_controls",
    "grid": "collapse_lit.compare.grid:run_grid",
    "discover": "collapse_lit.discover.command:run_discover",
    "predict": "collapse_lit.discover.command:run_predict",
    "report": "collapse_lit.compare.command:run_report",
}
CONFIGURED = ("fit", "controls", "grid")
CONTINUED = ("fit", "remeasure", "controls", "grid")

USAGE = """usage: collapse-lit COMMAND ...

Train a network on coarse labels, watch its features collapse, recover the fine classes.

commands:
{commands}

  collapse-lit fit --config configs/quickstart.yaml
  collapse-lit fit --config configs/quickstart.yaml --trainer.max_epochs 5 --run_dir runs/short
  collapse-lit discover --run runs/quickstart --out found
  collapse-lit report runs/quickstart

collapse-lit COMMAND --help shows the options; collapse-lit --version shows the version.
""".format(commands="\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, which is 2 after a user's mistake."""
    # A terminal without UTF-8 cannot show every class name.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if command == "--version":
        print(f"collapse-lit {__version__}")
        return 0
    if command not in COMMANDS:
        near = did_you_mean(command, COMMANDS)
        return _fail(f"unknown command {command!r}{near}; the commands are {', '.join(COMMANDS)}")
    if command in CONTINUED and os.name != "posix":
        return _fail(
            f"{command} needs Linux or macOS; the measures and callbacks also run on Windows"
        )
    missing = _missing_configuration(rest) if command in CONFIGURED else None
    if missing is not None:
        return _fail(missing)
    # Threads that spin at barriers stall for milliseconds when another process takes their core. A
    # busy machine then slows training many times over. This must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        module, _, function = RUN_BY[command].partition(":")
        getattr(import_module(module), function)(rest)
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        goes_on = "; run the same command again to continue" if command in CONTINUED else ""
        print(f"collapse-lit: stopped by Ctrl-C{goes_on}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _missing_configuration(arguments: Sequence[str]) -> str | None:
    """What is wrong with ``--config``, found before Lightning's slow import."""
    names = [after for name, after in pairwise(arguments) if name in ("--config", "-c")]
    names += [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]
    for path in map(Path, names):
        if not path.exists():
            near = did_you_mean(str(path), map(str, path.parent.glob("*.yaml")))
            return f"--config {path}: there is no such file{near}"
    return None


def _fail(message: str) -> int:
    print(f"collapse-lit: error: {message}", file=sys.stderr)
    return EXIT_MISTAKE
