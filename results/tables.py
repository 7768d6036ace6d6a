"""The tables of results/README.md, in Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
from derived import (
    distance_and_width,
    found,
    halves_and_others,
    information,
    learnt,
    mean_of,
    measured_by_class,
    merged_pairs,
    siblings_apart,
    std_of,
)
from kept import Run

from collapse_lit.metrics import (
    CEILING,
    FLOOR,
    FOUND,
    HEADLINE,
    NC1,
    RAW,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
)

IN_HEADLINE = (
    *(TRAIN_ACCURACY, TEST_ACCURACY, HEADLINE, CEILING, FLOOR, FOUND, RAW, NC1),
    *("collapse/nc1_trace", "collapse/cdnv"),
)


def headline_table(runs: Sequence[Run], averaged: Sequence[Run] = ()) -> str:
    """One line a run, at its last epoch; and mean and standard deviation of several."""
    lines = [
        "| run | epochs | coarse train | coarse test | **recovered, test** | ceiling | floor "
        "| recovered, train | raw k-means | NC1 | NC1, trace | CDNV | minutes | PFLOP |",
        "|---|" + "---:|" * 13,
    ]
    for run in runs:
        cells = " | ".join(f"{run.last[key]:.4f}" for key in IN_HEADLINE)
        lines.append(
            f"| `{run.name}` | {run.last['epoch'] + 1} | {cells} "
            f"| {run.minutes:.0f} | {run.petaflop:.2f} |"
        )
    if averaged:
        means, stds = mean_of(averaged), std_of(averaged)
        cells = " | ".join(f"**{means[key]:.4f}** ± {stds[key]:.4f}" for key in IN_HEADLINE)
        lines.append(f"| **mean ± sd, n = {len(averaged)}** | | {cells} | | |")
    return "\n".join(lines)


def collapse_table(run: Run) -> str:
    """Every measured epoch of a run: three measures of collapse, what is left, what is found."""
    columns = {
        "coarse train": TRAIN_ACCURACY,
        "coarse test": TEST_ACCURACY,
        "NC1": NC1,
        "NC1, trace": "collapse/nc1_trace",
        "CDNV": "collapse/cdnv",
        "CDNV, test": "collapse_test/cdnv",
        "raw k-means, train": RAW,
        "recovered, train": FOUND,
        "floor": FLOOR,
        "recovered, test": HEADLINE,
        "ceiling": CEILING,
    }
    ratios = {"left": information, "found": found}
    lines = [
        f"| epoch | {' | '.join((*columns, *ratios))} |",
        "|---:|" + "---:|" * (len(columns) + len(ratios)),
    ]
    for row in run.history:
        values = (*(row[key] for key in columns.values()), *(of(row) for of in ratios.values()))
        lines.append(f"| {row['epoch']} | {' | '.join(f'{value:.4f}' for value in values)} |")
    return "\n".join(lines)


def pairs_table(run: Run) -> str:
    """Epoch by epoch: which share of each merged pair's training images is told apart."""
    names = run.distances[-1]["coarse"]
    lines = [f"| epoch | NC1 | {' | '.join(names)} |", "|---:" * (len(names) + 2) + "|"]
    for row in run.history:
        shares = " | ".join(f"{share:.3f}" for share in row["recovery/acc_of_coarse"])
        lines.append(f"| {row['epoch']} | {row[NC1]:.4f} | {shares} |")
    return "\n".join(lines)


def by_class_table(runs: Sequence[Run]) -> str:
    """Each coarse class, run by run and epoch by epoch: accuracy, separation found and of the
    truth.
    """
    measured = {run: measured_by_class(run) for run in runs}
    names = list(dict.fromkeys(line["class"] for line in measured[runs[0]]))
    lines = [f"| run | epoch | {' | '.join(names)} |", "|---|---:|" + "---|" * len(names)]
    for run, classes in measured.items():
        for epoch in dict.fromkeys(line["epoch"] for line in classes):
            cells = [
                f"{float(line['accuracy']):.3f}: {float(line['found']):.2f}, "
                f"{float(line['truth']):.2f}"
                for line in classes
                if line["epoch"] == epoch
            ]
            lines.append(f"| `{run.name}` | {epoch} | {' | '.join(cells)} |")
    return "\n".join(lines)


def terminal_table(networks: Mapping[str, Sequence[Run]]) -> str:
    """One line a run: from its first measured epoch with all labels learnt to its last."""
    keys = ("collapse/nc1_trace", "collapse/cdnv", NC1, RAW, FOUND, HEADLINE, CEILING)
    lines = [
        "| run | | epochs | NC1, trace | CDNV | NC1 | raw k-means, train | recovered, train "
        "| recovered, test | ceiling | left | found |",
        "|---|" + "---|" * 11,
    ]
    named = [(about, run) for about, runs in networks.items() for run in runs]
    for about, run in named:
        first, last = learnt(run)[0], run.last
        cells = [f"{first[key]:.4f} → {last[key]:.4f}" for key in keys]
        cells += [f"{of(first):.3f} → {of(last):.3f}" for of in (information, found)]
        lines.append(
            f"| `{run.name}` | {about} | {first['epoch']} → {last['epoch']} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


NCS = {
    "NC1, trace": "collapse/nc1_trace",
    "NC2, equal norms": "collapse/nc2_equinorm",
    "NC2, angles": "collapse/nc2_equiangular",
    "NC2, distance to the ETF": "collapse/nc2_etf",
    "NC3": "collapse/nc3",
    "NC4": "collapse/nc4",
    "RankMe": "collapse/rankme",
    "explained": "collapse_fine/explained",
}


def ncs_table(runs: Sequence[Run]) -> str:
    """All measures of collapse on training images at the last epoch, one line a run."""
    lines = [f"| run | {' | '.join(NCS)} |", "|---|" + "---:|" * len(NCS)]
    for run in runs:
        lines.append(f"| `{run.name}` | {' | '.join(f'{run.last[k]:.4f}' for k in NCS.values())} |")
    return "\n".join(lines)


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


def superclasses_table(run: Run) -> str:
    """One line a coarse class of several fine ones, those that are recovered best first."""
    snapshot, apart = run.distances[-1], siblings_apart(run)
    members: dict[int, list[str]] = {}
    for name, parent in zip(snapshot["fine"], snapshot["fine_to_coarse"], strict=True):
        members.setdefault(parent, []).append(name)
    separations = {
        line["class"]: (float(line["found"]), float(line["truth"]))
        for line in measured_by_class(run)
    }
    lines = [
        "| superclass | its classes | recovered, train | apartness, mean "
        "| separation, found | of the truth |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for c in np.argsort(run.last["recovery/acc_of_coarse"])[::-1]:
        name, share = snapshot["coarse"][c], run.last["recovery/acc_of_coarse"][c]
        cells = " | ".join(f"{value:.2f}" for value in (apart[name], *separations[name]))
        lines.append(f"| {name} | {', '.join(members[c])} | {share:.3f} | {cells} |")
    return "\n".join(lines)


def split_table(run: Run) -> str:
    """Classes split at random: are the halves of a class told apart, epoch by epoch?"""
    lines = [
        "| epoch | accuracy on the 20 labels, train | test | NC1, 20 labels "
        "| apartness of a class's halves | of other classes |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    rows = {row["epoch"]: row for row in run.history}
    for snapshot in run.distances:
        row, (halves, others) = rows[snapshot["epoch"]], halves_and_others(snapshot)
        keys = ("train/acc_coarse", "test/acc_coarse", NC1)
        cells = " | ".join(f"{row[key]:.4f}" for key in keys)
        lines.append(f"| {row['epoch']} | {cells} | {halves:.3f} | {others:.3f} |")
    return "\n".join(lines)


def simplified_table(runs: Sequence[Run]) -> str:
    """The Gaussian mixture: early and late, by distance and width."""
    lines = [
        "| distance | width | NC1 early | late | recovered, test, early | late | ceiling early "
        "| late | raw k-means early | late |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(runs, key=distance_and_width):
        distance, width = distance_and_width(run)
        first, last = run.history[0], run.history[-1]
        keys = ("recovery/clp_test", "recovery/probe_test", "recovery/acc_raw")
        cells = [f"{row[key]:.3f}" for key in keys for row in (first, last)]
        collapsed = [f"{row['collapse/nc1']:.4f}" for row in (first, last)]
        lines.append(f"| {' | '.join([f'{distance:g}', str(width), *collapsed, *cells])} |")
    return "\n".join(lines)
