"""Rebuild every table and figure of results/README.md from the run directories in results/runs.

    python results/build.py

``python results/build.py --keep runs/NAME …`` first copies the small files of finished runs here.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from collapse_lit.measure.selection import select_epoch
from collapse_lit.models import make_backbone

HERE = Path(__file__).parent
KEPT = ("config.yaml", "history.jsonl", "summary.json")
CIFAR10 = {"images": 50_000, "shape": (3, 32, 32)}
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One kept run: its name below results/runs, configuration and measured epochs."""

    name: str
    config: Mapping[str, Any]
    history: Sequence[Row]
    minutes: float

    @property
    def last(self) -> Row:
        """The last measured epoch."""
        return self.history[-1]

    @property
    def chosen(self) -> Row:
        """The row of the epoch chosen without fine labels."""
        selected = select_epoch(self.history)
        return next(row for row in self.history if row["epoch"] == selected["epoch"])

    @property
    def petaflop(self) -> float:
        """Multiplications and additions of training on CIFAR-10, forward and backward, ÷ 10¹⁵."""
        model = self.config["model"]
        per_image = _flop_of_an_image(model["backbone"], json.dumps(model["backbone_args"]))
        return per_image * CIFAR10["images"] * self.config["trainer"]["max_epochs"] / 1e15


@cache
def _flop_of_an_image(backbone: str, options: str) -> float:
    network, _ = make_backbone(backbone, CIFAR10["shape"], **json.loads(options) or {})
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, *CIFAR10["shape"])).sum().backward()
    return counter.get_total_flops() / 2


def read_runs() -> dict[str, Run]:
    """All kept runs by name."""
    return {run.name: run for run in _runs(HERE / "runs")}


def _runs(folder: Path) -> Iterator[Run]:
    for path in sorted(folder.rglob("history.jsonl")):
        yield Run(
            str(path.parent.relative_to(folder)),
            yaml.safe_load((path.parent / "config.yaml").read_text()),
            [json.loads(line) for line in path.read_text().splitlines()],
            json.loads((path.parent / "summary.json").read_text())["wall_seconds"] / 60,
        )


def keep(run_dir: Path) -> None:
    """Copy the small files of a run, or of the runs below a folder, into results/runs."""
    for path in sorted(run_dir.rglob("history.jsonl")):
        target = HERE / "runs" / run_dir.name / path.parent.relative_to(run_dir)
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copy(path.parent / name, target / name)


def headline_table(runs: Sequence[Run]) -> str:
    """One line a run: its last epoch, and the epoch chosen without fine labels."""
    lines = [
        "| run | epochs | coarse train | coarse test | **recovered, test** | ceiling | floor "
        "| recovered, train | raw k-means | at the chosen epoch | minutes | PFLOP |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        row, chosen = run.last, run.chosen
        values = [
            row["train/acc_coarse"],
            row["test/acc_coarse"],
            row["recovery/clp_test"],
            row["recovery/probe_test"],
            row["recovery/floor"],
            row["recovery/acc"],
            row["recovery/acc_raw"],
        ]
        cells = " | ".join(f"{value:.4f}" for value in values)
        lines.append(
            f"| `{run.name}` | {row['epoch'] + 1} | {cells} "
            f"| {chosen['recovery/clp_test']:.4f} (epoch {chosen['epoch']}) "
            f"| {run.minutes:.0f} | {run.petaflop:.2f} |"
        )
    return "\n".join(lines)


def epochs_table(run: Run) -> str:
    """Every measured epoch of a run: collapse beside recovery."""
    keys = (
        "train/acc_coarse",
        "collapse/nc1",
        "collapse_fine/nc1",
        "recovery/acc_raw",
        "recovery/acc",
        "recovery/clp_test",
        "recovery/probe_test",
        "recovery/separation",
        "recovery/stability",
    )
    lines = [
        "| epoch | coarse train | NC1 coarse | NC1 fine | raw k-means, train | recovered, train "
        "| recovered, test | ceiling | separation | stability |",
        "|---:|" + "---:|" * len(keys),
    ]
    for row in run.history:
        cells = " | ".join(f"{row[key]:.4f}" for key in keys)
        lines.append(f"| {row['epoch']} | {cells} |")
    return "\n".join(lines)


def epochs_figure(run: Run) -> Figure:
    """Recovery between floor and ceiling against NC1, epoch by epoch."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    curves = [
        ("recovery/probe_test", "ceiling, test", GREY, "--"),
        ("recovery/clp_test", "recovered, test", BLUE, "-"),
        ("recovery/acc", "recovered, train", GREEN, "-"),
        ("recovery/acc_raw", "raw k-means, train", ORANGE, "-"),
        ("recovery/floor", "floor, test", GREY, ":"),
        ("train/acc_coarse", "coarse accuracy, train", "black", "-"),
    ]
    epochs = [row["epoch"] for row in run.history]
    for key, label, colour, style in curves:
        values = [row[key] for row in run.history]
        axes.plot(epochs, values, color=colour, linestyle=style, marker=".", label=label)
    axes.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02), xticks=epochs)
    axes.grid(alpha=0.25)
    right = axes.twinx()
    right.plot(epochs, [row["collapse/nc1"] for row in run.history], color=RED, label="NC1 (right)")
    right.set(yscale="log", ylabel="NC1, coarse labels")
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    axes.set_title(f"{run.name}: what collapses, and what stays")
    return figure


def simplified_table(runs: Sequence[Run]) -> str:
    """The Gaussian mixture: early and late, by distance and width."""
    lines = [
        "| distance | width | NC1 early | late | recovered, test, early | late | ceiling early "
        "| late | raw k-means early | late |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(runs, key=_distance_and_width):
        distance, width = _distance_and_width(run)
        first, last = run.history[0], run.history[-1]
        keys = ("recovery/clp_test", "recovery/probe_test", "recovery/acc_raw")
        cells = [f"{row[key]:.3f}" for key in keys for row in (first, last)]
        collapsed = [f"{row['collapse/nc1']:.4f}" for row in (first, last)]
        lines.append(f"| {' | '.join([f'{distance:g}', str(width), *collapsed, *cells])} |")
    return "\n".join(lines)


def simplified_figure(runs: Sequence[Run]) -> Figure:
    """Recovery against epoch, one panel a distance, one colour a width."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    distances = sorted({_distance_and_width(run)[0] for run in runs})
    colours = dict(
        zip(sorted({_distance_and_width(r)[1] for r in runs}), (BLUE, GREEN, RED), strict=False)
    )
    panels = figure.subplots(1, len(distances), sharey=True, squeeze=False)[0]
    for axes, distance in zip(panels, distances, strict=True):
        for run in sorted(runs, key=_distance_and_width):
            if _distance_and_width(run)[0] != distance:
                continue
            width = _distance_and_width(run)[1]
            epochs = [row["epoch"] for row in run.history]
            for key, style in (("recovery/clp_test", "-"), ("recovery/probe_test", "--")):
                values = [row[key] for row in run.history]
                label = f"width {width}" if style == "-" else None
                axes.plot(epochs, values, style, color=colours[width], label=label)
        axes.set(title=f"distance {distance:g}", xlabel="epoch", ylim=(0.45, 1.01))
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("test accuracy on fine classes")
    panels[-1].legend(fontsize=7, title="solid: recovered\ndashed: ceiling", title_fontsize=7)
    return figure


def _distance_and_width(run: Run) -> tuple[float, int]:
    config = run.config
    return config["data"]["gaussian"]["fine_distance"], config["model"]["backbone_args"]["width"]


def save(figure: Figure, name: str) -> None:
    """Write a PNG that is the same bytes for the same picture."""
    (HERE / "figures").mkdir(exist_ok=True)
    figure.savefig(HERE / "figures" / name, dpi=120, metadata={"Software": None})


def build() -> None:
    """Write results/README.md and its figures."""
    runs = read_runs()
    headline = [run for name, run in runs.items() if name.startswith("cifar10_fast")]
    fast, terminal = runs["cifar10_fast"], runs["cifar10_terminal"]
    simplified = [run for name, run in runs.items() if name.startswith("gaussian/")]
    save(epochs_figure(fast), "headline.png")
    save(epochs_figure(terminal), "terminal.png")
    save(simplified_figure(simplified), "simplified.png")
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True
    )
    page = environment.get_template("README.md.jinja").render(
        headline=headline_table(headline),
        fast=fast,
        fast_epochs=epochs_table(fast),
        terminal=terminal,
        terminal_epochs=epochs_table(terminal),
        simplified=simplified_table(simplified),
        simplified_minutes=sum(run.minutes for run in simplified),
        simplified_runs=len(simplified),
    )
    (HERE / "README.md").write_text(page)


def main() -> None:
    """Keep what is asked, then build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, nargs="+", default=[], metavar="RUN_DIR")
    for run_dir in parser.parse_args().keep:
        keep(run_dir)
    build()


if __name__ == "__main__":
    main()
