"""Rebuild every table and figure of results/README.md from the run directories in results/runs.

    python results/build.py

``python results/build.py --keep runs/NAME …`` first copies the small files of finished runs here.
"""

import argparse
from pathlib import Path

import numpy as np
from by_layer import by_layer
from derived import (
    LEARNT,
    apartness,
    found,
    gaps_to_truth,
    information,
    late_found,
    learnt,
    mean_of,
    merged_pairs,
    rank_correlation,
    sibling_correlation,
    sibling_pairs,
    std_of,
    widest_to_narrowest,
)
from factorial import EPOCHS, cells_table, effects_table, stages_table
from figures import (
    far_figure,
    maps_figure,
    save,
    scatter_figure,
    siblings_figure,
    simplified_figure,
)
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from kept import HERE, SCATTER, keep, read_runs
from tables import (
    by_class_table,
    collapse_table,
    compared_table,
    headline_table,
    maps_table,
    ncs_table,
    pairs_table,
    simplified_table,
    split_table,
    superclasses_table,
    terminal_table,
)

from collapse_lit.report.figures import distances_figure

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
SEEDS = ("resnet/seed0", "resnet/seed1")  # the headline network
TEN, TEN_FAR = "resnet/ten0", "resnet/tenfar0"  # as seed 0 and its far run, told all ten labels
WIDE = "resnet/wide0"  # as the first seed, twice as wide
FAR = ("resnet/far0", "resnet/far1")  # each goes on from its seed
FURTHER = ("resnet/further0", "resnet/further1")  # and from there
TERMINAL = {  # runs into collapse, and what they are called in the figure
    "ResNet-18 of width 16, seed 0": ("resnet/far0", "resnet/further0"),
    "ResNet-18 of width 16, seed 1": ("resnet/far1", "resnet/further1"),
    "narrow CNN, rate ÷10 at 5 and 21": ("terminal/mod",),
    "narrow CNN, rate ÷10 at 10 and 20": ("terminal/mod_short",),
}
PAIR_BY_PAIR = (*SEEDS, WIDE, *FAR, *FURTHER)
BY_CLASS = ("resnet/seed0", "resnet/far0", "resnet/further0")
EARLIER = ("resnet/mod", "resnet/on", "resnet/far_hot", "resnet/on_large_rate")  # other schedules
EVERY_EPOCH = (
    *SEEDS,
    *FAR,
    *FURTHER,
    "terminal/mod",
    "terminal/mod_short",
    *EARLIER,
    "cifar100/superclasses",
)
FAST = ("fast/mod", "fast/mod1", "fast/mod2")  # seeds 0, 1 and 2
VIEWS = {  # one checkpoint looked at in several ways
    "views/mirror": "the mirror image",
    "fast/mod": "the mirror image, and of test images both a pixel aside",
    "views/mirror1": "the mirror image",
    "fast/mod1": "the mirror image, and of test images both a pixel aside",
}


def build() -> None:
    """Write results/README.md with its figures, and results/epochs.md."""
    runs = read_runs()
    fast = [runs[name] for name in FAST]
    terminal = {about: [runs[name] for name in names] for about, names in TERMINAL.items()}
    terminal_mod = runs["terminal/mod"]
    small_mod, small_ten, split = runs["small/mod"], runs["small/ten"], runs["split/two"]
    fast_ten = runs["fast/ten"]
    seeds, far, further = ([runs[name] for name in names] for names in (SEEDS, FAR, FURTHER))
    ten, ten_far = runs[TEN], runs[TEN_FAR]
    five_and_ten = ((seeds[0], ten), (far[0], ten_far), (fast[0], fast_ten), (small_mod, small_ten))
    told = ("five coarse labels", "all ten labels")
    beside = {run: what for pair in five_and_ten for run, what in zip(pair, told, strict=True)}
    maps = {runs[name]: about for name, about in MAPS.items()}
    apart = apartness(small_ten)
    simplified = [run for name, run in runs.items() if name.startswith("gaussian/")]
    save(scatter_figure(runs[SCATTER]), "scatter.png")
    save(far_figure(terminal), "far.png")
    save(maps_figure(maps, apart), "maps.png")
    save(siblings_figure(runs["cifar100/superclasses"]), "siblings.png")
    distances = {found["epoch"]: np.array(found["distances"]) for found in split.distances}
    save(distances_figure(distances, split.distances[0]["fine"]), "split.png")
    save(simplified_figure(simplified), "simplified.png")
    superclasses = runs["cifar100/superclasses"]
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True
    )
    page = environment.get_template("README.md.jinja").render(
        headline=headline_table(fast, averaged=fast),
        fast=fast,
        fast_mean=mean_of(fast),
        fast_std=std_of(fast),
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
        seeds=seeds,
        seeds_table=headline_table(seeds, averaged=seeds),
        ten=ten,
        ten_far=ten_far,
        wide=runs[WIDE],
        wide_table=headline_table([seeds[0], runs[WIDE]]),
        seeds_mean=mean_of(seeds),
        seeds_std=std_of(seeds),
        far=far,
        further=further,
        gap=gaps_to_truth(further[0])["bird+horse"],
        scatter_run=SCATTER,
        late_found=[late_found(run) for run in further],
        further_explained=" and ".join(
            f"{run.last['collapse_fine/explained']:.2f}" for run in further
        ),
        ncs=ncs_table(
            [run for of_seed in zip(seeds, far, further, strict=True) for run in of_seed]
        ),
        further_mean=mean_of(further),
        further_std=std_of(further),
        by_class=by_class_table([runs[name] for name in BY_CLASS]),
        earlier=headline_table([runs[name] for name in EARLIER]),
        superclasses=superclasses,
        superclasses_headline=headline_table([superclasses]),
        superclasses_table=superclasses_table(superclasses),
        better_than_truth=sum(gap > 0 for gap in gaps_to_truth(superclasses).values()),
        siblings=sibling_pairs(superclasses),
        siblings_correlation=sibling_correlation(superclasses),
        by_layer=by_layer(runs),
        factorial={
            "epochs": EPOCHS,
            "effects": effects_table(runs),
            "stages": stages_table(runs),
            "cells": cells_table(runs),
        },
        terminal=terminal_table(terminal),
        learnt_from=LEARNT,
        terminal_mod=terminal_mod,
        terminal_short=runs["terminal/mod_short"],
        learnt=learnt,
        left=information,
        found=found,
        simplified=simplified_table(simplified),
        simplified_minutes=sum(run.minutes for run in simplified),
        simplified_runs=len(simplified),
        widest_to_narrowest=widest_to_narrowest(simplified),
    )
    (HERE / "README.md").write_text(page)
    every_epoch = {
        runs[name]: (collapse_table(runs[name]), name in PAIR_BY_PAIR and pairs_table(runs[name]))
        for name in EVERY_EPOCH
    }
    page = environment.get_template("epochs.md.jinja").render(runs=every_epoch)
    (HERE / "epochs.md").write_text(page)


def main() -> None:
    """Keep what is asked, then build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, nargs="+", default=[], metavar="RUN_DIR")
    for run_dir in parser.parse_args().keep:
        keep(run_dir)
    build()


if __name__ == "__main__":
    main()
