"""The figures of results/README.md."""

from collections.abc import Mapping, Sequence

import numpy as np
from derived import (
    distance_and_width,
    found,
    information,
    learnt,
    merged_pairs,
    sibling_pairs,
)
from kept import HERE, Run
from matplotlib.figure import Figure

from collapse_lit.metrics import RAW
from collapse_lit.report.figures import residuals_figure

LEGIBLE = 0.91  # above it, names of merged pairs would cover one another
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
COLOURS = (BLUE, ORANGE, GREEN, RED, GREY, "black")


def far_figure(networks: Mapping[str, Sequence[Run]]) -> Figure:
    """What is left and what is found as networks collapse: one panel a share, one line a network.

    A network is one run, or several that go on from one another.
    """
    shares = {
        "left: probe on true labels ÷ coarse accuracy, test": information,
        "found: recovered without labels ÷ that probe, test": found,
        "k-means on raw features, train": lambda row: row[RAW],
    }
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, (title, share) in zip(
        figure.subplots(1, len(shares), sharey=True), shares.items(), strict=True
    ):
        for colour, (about, runs) in zip(COLOURS, networks.items(), strict=False):
            rows = [row for run in runs for row in learnt(run)]
            points = [(row["collapse/nc1_trace"], share(row)) for row in rows]
            axes.plot(*zip(*points, strict=True), ".-", color=colour, label=about)
        axes.set(title=title, xlabel="NC1, trace quotient, training features", xscale="log")
        axes.title.set_fontsize(9)
        axes.invert_xaxis()
        ticks = (0.3, 0.1, 0.05, 0.02)
        axes.set_xticks(ticks, map(str, ticks))
        axes.set_xticks((), minor=True)
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("share")
    figure.legend(
        handles=figure.axes[0].get_lines(), fontsize=8, loc="outside lower center", ncols=2
    )
    return figure


def scatter_figure(run: Run) -> Figure:
    """What is left inside each coarse class of the training images, at the last measured epoch."""
    with np.load(HERE / "runs" / run.name / "scatter.npz") as arrays:
        points = dict(arrays)
    names = (points["fine_names"].tolist(), points["coarse_names"].tolist())
    return residuals_figure(points, run.last["epoch"], *names)


def maps_figure(maps: Mapping[Run, str], apart: Mapping[tuple[str, str], float]) -> Figure:
    """Each merged pair: how much of it is recovered, against how far apart its classes are."""
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(maps, COLOURS, strict=False))
    for run, about in maps.items():
        pairs = merged_pairs(run)
        apartness, shares = [apart[pair] for pair, _ in pairs], [share for _, share in pairs]
        axes.scatter(apartness, shares, color=colours[run], label=about, s=28)
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


def siblings_figure(run: Run) -> Figure:
    """Each two fine classes of one coarse class: are they told apart, against their distance."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    apart, told = sibling_pairs(run).T
    axes.scatter(apart, told, color=BLUE, s=14, alpha=0.7)
    axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
    axes.set(
        xlabel="apartness of the two classes",
        ylabel="told apart without fine labels, train",
        title=f"{run.name}: two classes of one superclass",
    )
    axes.grid(alpha=0.25)
    return figure


def simplified_figure(runs: Sequence[Run]) -> Figure:
    """Recovery against epoch, one panel a distance, one colour a width."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    distances = sorted({distance_and_width(run)[0] for run in runs})
    colours = dict(
        zip(sorted({distance_and_width(r)[1] for r in runs}), (BLUE, GREEN, RED), strict=False)
    )
    panels = figure.subplots(1, len(distances), sharey=True, squeeze=False)[0]
    for axes, distance in zip(panels, distances, strict=True):
        for run in sorted(runs, key=distance_and_width):
            if distance_and_width(run)[0] != distance:
                continue
            width = distance_and_width(run)[1]
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


def save(figure: Figure, name: str) -> None:
    """Write a PNG that is the same bytes for the same picture."""
    (HERE / "figures").mkdir(exist_ok=True)
    figure.savefig(HERE / "figures" / name, dpi=120, metadata={"Software": None})
