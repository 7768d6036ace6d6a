"""What decides whether fine structure stays: 24 small ResNets on a tenth of CIFAR-10.

    python results/factorial.py DATA            # trains them, below runs/factorial
    python results/build.py --keep runs/factorial

DATA has the folders train/CLASS and test/CLASS with images. Each of four factors has two levels.
Of the 16 combinations, 8 are trained, with three seeds each: the rate is high if one or all three
of the others are. So no factor's effect is mixed up with one of another, or of two together (a
2⁴⁻¹ design of resolution IV: Box, Hunter, Hunter, "Statistics for Experimenters", 1978).
The same command again skips finished runs.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
from derived import found, information
from kept import Row, Run

from collapse_lit.metrics import CEILING, HEADLINE, TEST_ACCURACY

EPOCHS, EVERY, BATCH = 24, 8, 100
TRAIN, TEST = 500, 500  # images of a class
SEEDS = range(3)


@dataclass(frozen=True)
class Factor:
    """An option of the configuration, and its low and high level."""

    name: str
    option: str
    levels: tuple[str, str]

    @property
    def about(self) -> str:
        """The levels in words."""
        return " → ".join(level.strip("{}").removeprefix("width: ") for level in self.levels)


FACTORS = (
    Factor("weight decay", "model.weight_decay", ("5e-4", "5e-3")),
    Factor("augmentation", "data.augment", ("none", "crop+flip")),
    Factor("width", "model.backbone_args", ("{width: 4}", "{width: 16}")),
    Factor("learning rate", "model.lr", ("0.05", "0.2")),
)
Cell = tuple[int, ...]  # 0 (low) or 1 (high) for each factor


def cells() -> Iterator[Cell]:
    """The eight combinations: the last factor's sign is the product of the others'."""
    for three in product((0, 1), repeat=3):
        yield (*three, int(prod(2 * level - 1 for level in three) > 0))


def name_of(cell: Cell, seed: int) -> str:
    """The run's folder, such as decay0-augment1-width0-rate0-seed2."""
    words = ("decay", "augment", "width", "rate")
    return (
        "-".join(f"{word}{level}" for word, level in zip(words, cell, strict=True)) + f"-seed{seed}"
    )


def options(cell: Cell) -> list[str]:
    """The cell's options on the command line."""
    pairs = zip(FACTORS, cell, strict=True)
    return [
        word for factor, level in pairs for word in (f"--{factor.option}", factor.levels[level])
    ]


def copy_few(data: Path, out: Path) -> None:
    """Copy the first images of each class, in order of their names."""
    for split, number in (("train", TRAIN), ("test", TEST)):
        for folder in sorted((data / split).iterdir()):
            (out / split / folder.name).mkdir(parents=True, exist_ok=True)
            for image in sorted(folder.iterdir())[:number]:
                shutil.copy(image, out / split / folder.name / image.name)


def train(cell: Cell, seed: int, data: Path, out: Path) -> None:
    """Train one network, or continue it."""
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "collapse_lit",
                "fit",
                "--config",
                "configs/cifar10_resnet.yaml",
            ),
            *("--run_dir", str(out / name_of(cell, seed)), "--seed_everything", str(seed)),
            *("--data.source", "imagefolder", "--data.root", str(data)),
            *("--data.batch_size", str(BATCH), "--trainer.max_epochs", str(EPOCHS)),
            *("--collapse.every_n_epochs", str(EVERY), "--recovery.every_n_epochs", str(EVERY)),
            *("--wandb.mode", "disabled", "--trainer.enable_progress_bar", "false"),
            *options(cell),
        ],
        check=True,
    )


MEASURES: dict[str, Callable[[Row], float]] = {
    "coarse train": lambda row: row["train/acc_coarse"],
    "coarse test": lambda row: row[TEST_ACCURACY],
    "NC1, trace": lambda row: row["collapse/nc1_trace"],
    "raw k-means, train": lambda row: row["recovery/acc_raw"],
    "recovered, test": lambda row: row[HEADLINE],
    "ceiling": lambda row: row[CEILING],
    "left": information,
    "found": found,
}


def values(runs: Mapping[str, Run], measure: str, epoch: int = EPOCHS - 1) -> np.ndarray:
    """(8, 3): a measure in each cell and with each seed, at an epoch."""
    return np.array(
        [
            [
                next(
                    MEASURES[measure](row)
                    for row in runs[f"factorial/{name_of(cell, seed)}"].history
                    if row["epoch"] == epoch
                )
                for seed in SEEDS
            ]
            for cell in cells()
        ]
    )


def effect(of_cells: np.ndarray, factor: int) -> tuple[float, float]:
    """The mean at the high level minus that at the low level, and its standard error.

    The error comes from the spread of the seeds inside cells, taken as equal in all of them.
    """
    high = np.array([cell[factor] for cell in cells()], dtype=bool)
    difference = of_cells[high].mean() - of_cells[~high].mean()
    within = of_cells.var(axis=1, ddof=1).mean()
    return float(difference), float(2 * np.sqrt(within / of_cells.size))


def cells_table(runs: Mapping[str, Run]) -> str:
    """Each cell: its levels, and each measure at the last epoch."""
    heads = [*(factor.name for factor in FACTORS), *MEASURES]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(FACTORS) + "---:|" * len(MEASURES)]
    columns = [values(runs, measure) for measure in MEASURES]
    for number, cell in enumerate(cells()):
        levels = [f.about.split(" → ")[level] for f, level in zip(FACTORS, cell, strict=True)]
        numbers = [
            f"{column[number].mean():.3f} ± {column[number].std(ddof=1):.3f}" for column in columns
        ]
        lines.append(f"| {' | '.join([*levels, *numbers])} |")
    return "\n".join(lines)


def effects_table(runs: Mapping[str, Run]) -> str:
    """What each factor changes at the last epoch; twice its standard error and more is bold."""
    lines = [
        f"| | mean | {' | '.join(f'{x.name}: {x.about}' for x in FACTORS)} |",
        "|---|---:|" + "---:|" * len(FACTORS),
    ]
    for measure in MEASURES:
        of_cells = values(runs, measure)
        shown = []
        for factor in range(len(FACTORS)):
            change, error = effect(of_cells, factor)
            text = f"{change:+.3f} ± {error:.3f}"
            shown.append(f"**{text}**" if abs(change) >= 2 * error else text)
        lines.append(f"| {measure} | {of_cells.mean():.3f} | {' | '.join(shown)} |")
    return "\n".join(lines)


def stages_table(runs: Mapping[str, Run]) -> str:
    """The mean of all runs, by epoch: how far the fit has gone."""
    epochs = range(EVERY - 1, EPOCHS, EVERY)
    lines = [
        f"| epoch | {' | '.join(MEASURES)} |",
        "|---:|" + "---:|" * len(MEASURES),
    ]
    for epoch in epochs:
        means = [f"{values(runs, measure, epoch).mean():.3f}" for measure in MEASURES]
        lines.append(f"| {epoch} | {' | '.join(means)} |")
    return "\n".join(lines)


def main() -> None:
    """Train all cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/CLASS and test/CLASS")
    parser.add_argument("--out", type=Path, default=Path("runs/factorial"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    asked = parser.parse_args()
    few = asked.out.with_name(asked.out.name + "-images")
    if not few.exists():
        copy_few(asked.data, few)
    for seed, cell in product(asked.seeds, cells()):
        train(cell, seed, few, asked.out)


if __name__ == "__main__":
    main()
