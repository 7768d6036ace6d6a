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

import numpy as np
import torch
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch.utils.flop_counter import FlopCounterMode

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.models import make_backbone
from collapse_lit.report.figures import distances_figure, residuals_figure

HERE = Path(__file__).parent
KEPT = ("config.yaml", "history.jsonl", "summary.json")
CIFAR10 = {"images": 50_000, "shape": (3, 32, 32)}
MAPS = {  # of CIFAR-10, by run
    "small/mod": "mod: class i with class i + 5",
    "maps/adjacent": "adjacent: class 2i with class 2i + 1",
    "maps/look_alike": "look-alikes",
    "maps/random1": "at random, seed 1",
    "maps/random2": "at random, seed 2",
    "maps/random3": "at random, seed 3",
}
ABLATIONS = {
    "small/mod": "the small recipe as it is",
    "ablations/sgd": "filters learnt by SGD, not Muon",
    "ablations/relu": "ReLU, not GELU",
    "ablations/slow_shifts": "BatchNorm's shifts learnt at the rate of all else",
    "ablations/learnt_first": "first layer learnt from a random start, not whitening",
    "ablations/random_start": "convolutions start at random, not as the identity",
    "ablations/slow_statistics": "BatchNorm's statistics at PyTorch's own momentum",
    "ablations/mean_pooled": "features are means over positions, not largest values",
    "ablations/crop": "images never mirrored",
    "ablations/unscaled": "features as large as they come, not a ninth of it",
    "ablations/cutout": "squares covered with grey as well (cutout)",
}
CONTROLS = {
    "small/mod": "the small recipe as it is",
    "controls/untrained": "the same network as it was initialised",
    "controls/pixels": "the normalised pixels themselves as features",
    "controls/random_split": "every class split in two at random: nothing to find",
}
RECIPE = (  # the small recipe, and with one thing changed
    *("small/mod", "recipe/epochs20", "recipe/width48"),
    *("recipe/batch500", "recipe/decay5e-4", "recipe/decay1e-4"),
)
TERMINAL = {  # runs into collapse
    "terminal/mod": "as configured",
    "terminal/narrow": "narrower, a longer middle rate",
    "terminal/small_rate": "narrower, no large rate",
}
FAST = ("fast/mod", "fast/mod1", "fast/mod2")  # seeds 0, 1 and 2
VIEWS = {  # one checkpoint looked at in several ways
    "views/mirror": "the mirror image",
    "fast/mod": "the mirror image, and of test images both a pixel aside",
    "views/mirror1": "the mirror image",
    "fast/mod1": "the mirror image, and of test images both a pixel aside",
}
SCATTER = "fast/mod"  # the run whose scatter of training images is kept and drawn
NC1 = "collapse/nc1"
LEARNT = 0.995  # coarse training accuracy from which the terminal phase is counted
LEGIBLE = 0.91  # above it, names of merged pairs would cover one another
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One kept run: its name below results/runs, configuration, measured epochs and distances."""

    name: str
    config: Mapping[str, Any]
    history: Sequence[Row]
    minutes: float
    distances: Sequence[Mapping[str, Any]]

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
            _distances_of(path.parent),
        )


def _distances_of(run: Path) -> Sequence[Mapping[str, Any]]:
    path = run / "distances.json"  # runs of before it was kept have none
    return json.loads(path.read_text()) if path.exists() else []


def keep(run_dir: Path) -> None:
    """Copy the small files of a run, or of the runs below a folder, into results/runs."""
    for path in sorted(run_dir.rglob("history.jsonl")):
        target = HERE / "runs" / run_dir.name / path.parent.relative_to(run_dir)
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copy(path.parent / name, target / name)
        snapshots = sorted((path.parent / "snapshots").glob("epoch_*.npz"))
        distances = [found for file in snapshots if (found := _distances(file))]
        if distances:
            (target / "distances.json").write_text(json.dumps(distances) + "\n")
        if target == HERE / "runs" / SCATTER:
            shutil.copy(snapshots[-1], target / "scatter.npz")


def _distances(snapshot: Path) -> dict[str, Any]:
    """Mean squared distances between fine classes, and which classes they are."""
    with np.load(snapshot) as arrays:
        if "class_distances" not in arrays:
            return {}
        return {
            "epoch": int(snapshot.stem.removeprefix("epoch_")),
            "coarse": arrays["coarse_names"].tolist(),
            "fine": arrays["fine_names"].tolist(),
            "distances": arrays["class_distances"].round(3).tolist(),
        }


def mean_of(runs: Sequence[Run]) -> dict[str, float]:
    """Means over the last measured epochs of some runs, by metric."""
    rows = [run.last for run in runs]
    return {
        key: float(np.mean([row[key] for row in rows]))
        for key, value in rows[0].items()
        if isinstance(value, float)
    }


HEADLINE = (
    *("train/acc_coarse", "test/acc_coarse", "recovery/clp_test", "recovery/probe_test"),
    *("recovery/floor", "recovery/acc", "recovery/acc_raw"),
)


def headline_table(runs: Sequence[Run], averaged: Sequence[Run] = ()) -> str:
    """One line a run: its last epoch, and the epoch chosen without fine labels; and a mean."""
    lines = [
        "| run | epochs | coarse train | coarse test | **recovered, test** | ceiling | floor "
        "| recovered, train | raw k-means | at the chosen epoch | minutes | PFLOP |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in runs:
        row, chosen = run.last, run.chosen
        cells = " | ".join(f"{row[key]:.4f}" for key in HEADLINE)
        lines.append(
            f"| `{run.name}` | {row['epoch'] + 1} | {cells} "
            f"| {chosen['recovery/clp_test']:.4f} (epoch {chosen['epoch']}) "
            f"| {run.minutes:.0f} | {run.petaflop:.2f} |"
        )
    if averaged:
        means = mean_of(averaged)
        cells = " | ".join(f"**{means[key]:.4f}**" for key in HEADLINE)
        lines.append(f"| **mean of {len(averaged)} seeds** | | {cells} | | | |")
    return "\n".join(lines)


def epochs_table(run: Run) -> str:
    """Every measured epoch of a run: collapse beside recovery."""
    keys = (
        "train/acc_coarse",
        NC1,
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


def collapse_table(run: Run) -> str:
    """Every measured epoch of a run: three measures of collapse, what is left, what is found."""
    columns = {
        "coarse train": "train/acc_coarse",
        "coarse test": "test/acc_coarse",
        "NC1, pseudo-inverse": NC1,
        "NC1, trace quotient": "collapse/nc1_trace",
        "CDNV": "collapse/cdnv",
        "CDNV, test": "collapse_test/cdnv",
        "raw k-means, train": "recovery/acc_raw",
        "floor": "recovery/floor",
        "recovered, test": "recovery/clp_test",
        "ceiling": "recovery/probe_test",
    }
    lines = [f"| epoch | {' | '.join(columns)} |", "|---:|" + "---:|" * len(columns)]
    for row in run.history:
        cells = " | ".join(f"{row[key]:.4f}" for key in columns.values())
        lines.append(f"| {row['epoch']} | {cells} |")
    return "\n".join(lines)


def learnt(run: Run) -> list[Row]:
    """The measured epochs that belong to the terminal phase: training images are all but learnt."""
    return [row for row in run.history if row["train/acc_coarse"] >= LEARNT]


def tenth(run: Run) -> Row:
    """The first measured epoch with a tenth of the NC1 that its terminal phase began with."""
    phase = learnt(run)
    return next(row for row in phase if row[NC1] <= phase[0][NC1] / 10)


def drops(run: Run) -> list[int]:
    """The epochs in the course of which the learning rate drops."""
    return [int(run.config["trainer"]["max_epochs"] * m) for m in run.config["model"]["milestones"]]


def pairs_table(run: Run) -> str:
    """The terminal phase, epoch by epoch: which share of each merged pair is told apart."""
    names = run.distances[-1]["coarse"]
    lines = [f"| epoch | NC1 | {' | '.join(names)} |", "|---:" * (len(names) + 2) + "|"]
    for row in learnt(run):
        shares = " | ".join(f"{share:.3f}" for share in row["recovery/acc_of_coarse"])
        lines.append(f"| {row['epoch']} | {row[NC1]:.4f} | {shares} |")
    return "\n".join(lines)


def epochs_figure(runs: Mapping[Run, str]) -> Figure:
    """Recovery between floor and ceiling against NC1, epoch by epoch, one panel a run."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    curves = [
        ("recovery/probe_test", "ceiling, test", GREY, "--"),
        ("recovery/clp_test", "recovered, test", BLUE, "-"),
        ("recovery/acc", "recovered, train", GREEN, "-"),
        ("recovery/acc_raw", "raw k-means, train", ORANGE, "-"),
        ("recovery/floor", "floor, test", GREY, ":"),
        ("train/acc_coarse", "coarse accuracy, train", "black", "-"),
    ]
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    collapsed = [axes.twinx() for axes in panels]
    for right in collapsed[1:]:
        right.sharey(collapsed[0])
    for axes, right, (run, about) in zip(panels, collapsed, runs.items(), strict=True):
        epochs = [row["epoch"] for row in run.history]
        for key, label, colour, style in curves:
            values = [row[key] for row in run.history]
            axes.plot(epochs, values, color=colour, linestyle=style, marker=".", label=label)
        nc1 = [row[NC1] for row in run.history]
        right.plot(epochs, nc1, color=RED, label="NC1 (right)")
        right.set_yscale("log")
        right.tick_params(which="both", labelright=axes is panels[-1])
        axes.axvspan(learnt(run)[0]["epoch"], epochs[-1], color=GREY, alpha=0.1)
        axes.set(xlabel="epoch", ylim=(0, 1.02))
        axes.set_title(f"{run.name}: {about}", fontsize=9)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("accuracy")
    collapsed[-1].set_ylabel("NC1, coarse labels")
    handles = [*panels[0].get_lines(), *collapsed[0].get_lines()]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=7)
    return figure


def terminal_table(runs: Mapping[Run, str]) -> str:
    """One line a run: from the first measured epoch of its terminal phase to the last."""
    lines = [
        "| run | | epochs | NC1 | times lower | recovered, train | recovered, test | ceiling "
        "| raw k-means |",
        "|---|---|---|---|---:|---|---|---|---|",
    ]
    keys = ("recovery/acc", "recovery/clp_test", "recovery/probe_test", "recovery/acc_raw")
    for run, about in runs.items():
        first, last = learnt(run)[0], run.last
        cells = " | ".join(f"{first[key]:.4f} → {last[key]:.4f}" for key in keys)
        nc1 = (first[NC1], last[NC1])
        lines.append(
            f"| `{run.name}` | {about} | {first['epoch']} → {last['epoch']} "
            f"| {nc1[0]:.4f} → {nc1[1]:.4f} | {nc1[0] / nc1[1]:.1f} | {cells} |"
        )
    return "\n".join(lines)


def scatter_figure(run: Run) -> Figure:
    """What is left inside each coarse class of the training images, at the last measured epoch."""
    with np.load(HERE / "runs" / run.name / "scatter.npz") as arrays:
        points = dict(arrays)
    names = (points["fine_names"].tolist(), points["coarse_names"].tolist())
    return residuals_figure(points, run.last["epoch"], *names)


def compared_table(runs: Mapping[Run, str]) -> str:
    """One line a run, with a word on what is special about it."""
    lines = [
        "| run | | coarse train | coarse test | **recovered, test** | inside | ceiling | floor "
        "| recovered, train | raw k-means | NC1 |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = (
        *("train/acc_coarse", "test/acc_coarse", "recovery/clp_test"),
        *("recovery/clp_test_inside", "recovery/probe_test", "recovery/floor"),
        *("recovery/acc", "recovery/acc_raw", NC1),
    )
    for run, about in runs.items():
        cells = " | ".join(f"{run.last[key]:.4f}" for key in keys)
        lines.append(f"| `{run.name}` | {about} | {cells} |")
    return "\n".join(lines)


def apartness(ten: Run) -> dict[tuple[str, str], float]:
    """How far apart images of two classes lie in a network that was told the classes.

    Mean squared distance between images of the two, over that between images of the same one.
    """
    names, ratios = ten.distances[-1]["fine"], _over_inside(ten.distances[-1])
    return {
        (names[i], names[j]): float(ratios[i, j])
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True)
    }


def _over_inside(snapshot: Mapping[str, Any]) -> np.ndarray:
    """Distances between classes over the mean of those inside the two, (F, F)."""
    distances = np.array(snapshot["distances"])
    inside = distances.diagonal()
    ratios: np.ndarray = 2 * distances / (inside[:, None] + inside[None, :])
    return ratios


def merged_pairs(run: Run) -> list[tuple[tuple[str, str], float]]:
    """The two classes of each coarse one, and which share of their images is told apart."""
    names = run.distances[-1]["coarse"]
    pairs = [tuple(sorted(name.split("+"))) for name in names]
    return list(zip(pairs, run.last["recovery/acc_of_coarse"], strict=True))


def maps_table(maps: Mapping[Run, str], apart: Mapping[tuple[str, str], float]) -> str:
    """One line a coarse map, those that merge the most alike classes first."""
    lines = [
        "| run | map | apartness of merged classes, mean | coarse test | **recovered, test** "
        "| inside | ceiling | recovered, train | least recovered pair |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    keys = (
        *("test/acc_coarse", "recovery/clp_test", "recovery/clp_test_inside"),
        *("recovery/probe_test", "recovery/acc"),
    )

    def mean_apartness(run: Run) -> float:
        return float(np.mean([apart[pair] for pair, _ in merged_pairs(run)]))

    for run in sorted(maps, key=mean_apartness):
        (pair, least) = min(merged_pairs(run), key=lambda found: found[1])
        cells = " | ".join(f"{run.last[key]:.4f}" for key in keys)
        lines.append(
            f"| `{run.name}` | {maps[run]} | {mean_apartness(run):.2f} | {cells} "
            f"| {'+'.join(pair)}: {least:.3f} |"
        )
    return "\n".join(lines)


def rank_correlation(maps: Mapping[Run, str], apart: Mapping[tuple[str, str], float]) -> float:
    """Spearman's, over the merged pairs of all maps: of apartness and recovery."""
    found = [(apart[pair], share) for run in maps for pair, share in merged_pairs(run)]
    return float(spearmanr(found).statistic)


def maps_figure(maps: Mapping[Run, str], apart: Mapping[tuple[str, str], float]) -> Figure:
    """Each merged pair: how much of it is recovered, against how far apart its classes are."""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(maps, (BLUE, ORANGE, GREEN, RED, GREY, "black"), strict=False))
    for run, about in maps.items():
        points = [(apart[pair], share) for pair, share in merged_pairs(run)]
        axes.scatter(*zip(*points, strict=True), color=colours[run], label=about, s=28)
    named = [
        (apart[pair], share, "+".join(pair))
        for run in maps
        for pair, share in merged_pairs(run)
        if share < LEGIBLE
    ]
    for number, (x, y, name) in enumerate(sorted(named)):  # above and below their points in turn
        offset = (4, -9) if number % 2 else (4, 3)
        axes.annotate(name, (x, y), offset, textcoords="offset points", fontsize=7)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set(
        xlabel="apartness of the two classes in the network that was told all ten",
        ylabel="recovered inside the coarse class, train",
        xscale="log",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.25)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    axes.set_title("Which merged classes are told apart")
    return figure


def split_table(run: Run) -> str:
    """Classes split at random: are the halves of a class told apart, epoch by epoch?"""
    lines = [
        "| epoch | accuracy on the 20 labels, train | test | NC1, 20 labels "
        "| apartness of a class's halves | of other classes |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    rows = {row["epoch"]: row for row in run.history}
    for snapshot in run.distances:
        row, (halves, others) = rows[snapshot["epoch"]], _halves_and_others(snapshot)
        keys = ("train/acc_coarse", "test/acc_coarse", NC1)
        cells = " | ".join(f"{row[key]:.4f}" for key in keys)
        lines.append(f"| {row['epoch']} | {cells} | {halves:.3f} | {others:.3f} |")
    return "\n".join(lines)


def _halves_and_others(snapshot: Mapping[str, Any]) -> tuple[float, float]:
    """Mean apartness of the two halves of a class, and of parts of different classes."""
    parents = np.array([name.rsplit("/", 1)[0] for name in snapshot["fine"]])
    apart = _over_inside(snapshot)
    siblings = (parents[:, None] == parents[None, :]) & ~np.eye(len(parents), dtype=bool)
    return apart[siblings].mean(), apart[parents[:, None] != parents[None, :]].mean()


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
        axes.set(title=f"distance {distance:g} σ", xlabel="epoch", ylim=(0.45, 1.01))
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
    fast = [runs[name] for name in FAST]
    terminal = {runs[name]: about for name, about in TERMINAL.items()}
    terminal_mod = runs["terminal/mod"]
    small_mod, small_ten, split = runs["small/mod"], runs["small/ten"], runs["split/two"]
    fast_ten = runs["fast/ten"]
    beside = {fast[0]: "five coarse labels", fast_ten: "all ten labels"}
    beside |= {small_mod: "five coarse labels", small_ten: "all ten labels"}
    maps = {runs[name]: about for name, about in MAPS.items()}
    apart = apartness(small_ten)
    simplified = [run for name, run in runs.items() if name.startswith("gaussian/")]
    save(scatter_figure(runs[SCATTER]), "scatter.png")
    save(epochs_figure(terminal), "terminal.png")
    save(maps_figure(maps, apart), "maps.png")
    distances = {found["epoch"]: np.array(found["distances"]) for found in split.distances}
    save(distances_figure(distances, split.distances[0]["fine"]), "split.png")
    save(simplified_figure(simplified), "simplified.png")
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True
    )
    page = environment.get_template("README.md.jinja").render(
        headline=headline_table(fast, averaged=fast),
        fast=fast,
        fast_mean=mean_of(fast),
        views=compared_table({runs[name]: about for name, about in VIEWS.items()}),
        recipe=headline_table([runs[name] for name in RECIPE]),
        recipe_wide=runs["recipe/width48"],
        recipe_long=runs["recipe/epochs20"],
        beside=compared_table(beside),
        fast_ten=fast_ten,
        small_mod=small_mod,
        small_ten=small_ten,
        maps=maps_table(maps, apart),
        ways=len(maps),
        maps_pairs=sum(len(merged_pairs(run)) for run in maps),
        maps_correlation=rank_correlation(maps, apart),
        ablations=compared_table({runs[name]: about for name, about in ABLATIONS.items()}),
        controls=compared_table({runs[name]: about for name, about in CONTROLS.items()}),
        pixels=runs["controls/pixels"],
        untrained=runs["controls/untrained"],
        random_split=runs["controls/random_split"],
        split=split,
        split_epochs=split_table(split),
        terminal=terminal_table(terminal),
        learnt_from=LEARNT,
        terminal_mod=terminal_mod,
        terminal_epochs=epochs_table(terminal_mod),
        learnt=learnt(terminal_mod),
        tenth=tenth(terminal_mod),
        terminal_fold=learnt(terminal_mod)[0][NC1] / terminal_mod.last[NC1],
        terminal_pairs=pairs_table(terminal_mod),
        terminal_drops=drops(terminal_mod),
        narrow=runs["terminal/narrow"],
        narrow_learnt=learnt(runs["terminal/narrow"]),
        narrow_epochs=epochs_table(runs["terminal/narrow"]),
        small_rate=runs["terminal/small_rate"],
        small_rate_epochs=epochs_table(runs["terminal/small_rate"]),
        resnet=runs["resnet/mod"],
        resnet_epochs=collapse_table(runs["resnet/mod"]),
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
