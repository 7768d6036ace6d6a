"""How well each coarse class of a run is recovered, and each pair of fine classes inside it.

    python results/by_class.py runs/cifar10_resnet_far --out results/runs/resnet/far0

Writes ``by_class.csv`` and ``pairs.csv``, with a line per measured checkpoint and class or pair.
"""

import argparse
import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collapse_lit.discover.runs import TrainedRun
from collapse_lit.discover.samples import Samples
from collapse_lit.fit.remeasure import kept_checkpoints
from collapse_lit.measure import recover
from collapse_lit.measure.clustering import separation
from collapse_lit.measure.recovery.clusters import Recovery
from collapse_lit.measure.recovery.matching import Matching, match_clusters
from collapse_lit.measure.recovery.spaces import coordinates
from collapse_lit.tracking.run_directory import RunDirectory

Line = dict[str, Any]


def classes(samples: Samples, found: Recovery, matched: Matching) -> Iterator[Line]:
    """For each coarse class: the accuracy, and the separation of what is found and of the truth.

    Both separations are taken in the space that was chosen without fine labels.
    """
    assert samples.fine is not None, "these data have no fine labels"
    for of_class, accuracy in zip(found.classes, matched.acc_of_coarse, strict=True):
        rows = samples.coarse == of_class.coarse
        one = torch.zeros(int(rows.sum()), dtype=torch.int64)
        points = coordinates(samples.features[rows], one, 1, of_class.space, None).numpy()
        truth = np.unique(samples.fine[rows].numpy(), return_inverse=True)[1]
        yield {
            "class": samples.coarse_names[of_class.coarse],
            "space": str(of_class.space),
            "accuracy": accuracy,
            "found": separation(points, of_class.ids.numpy(), of_class.k),
            "truth": separation(points, truth, of_class.k),
        }


def pairs(samples: Samples, matched: Matching) -> Iterator[Line]:
    """For each two fine classes of one coarse class: are they told apart, and how far apart are
    they?

    *Told apart* is the share of right images among those of the two classes that were put into
    one of the two. *Apartness* is the mean squared distance between images of the two, over that
    between images of the same one.
    """
    assert samples.fine is not None, "these data have no fine labels"
    fine_of = {int(fine): row for row, fine in enumerate(matched.cluster_to_fine)}
    for first, second in combinations(range(len(samples.fine_names)), 2):
        if samples.fine_to_coarse[first] == samples.fine_to_coarse[second]:
            two = [first, second]
            counts = matched.contingency[[fine_of[fine] for fine in two]][:, two]
            yield {
                "class": samples.coarse_names[int(samples.fine_to_coarse[first])],
                "pair": "+".join(samples.fine_names[fine] for fine in two),
                "told apart": float(counts.trace() / counts.sum()),
                "apartness": apartness(*(samples.features[samples.fine == f] for f in two)),
            }


def apartness(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean squared distance between rows of (n, d) and (m, d), over that inside each."""
    inside = 2 * np.mean([float(part.var(dim=0, correction=0).sum()) for part in (first, second)])
    between = float((first.mean(dim=0) - second.mean(dim=0)).square().sum())
    return 1 + between / float(inside)


def main() -> None:
    """Measure every kept checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run with kept checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two tables")
    parser.add_argument("--epochs", type=int, nargs="+", help="of the kept ones; all if left out")
    asked = parser.parse_args()
    tables: dict[str, list[Line]] = {"by_class.csv": [], "pairs.csv": []}
    for epoch, file in kept_checkpoints(RunDirectory(asked.run)).items():
        if asked.epochs and epoch not in asked.epochs:
            continue
        samples = TrainedRun(asked.run, checkpoint=file.name).own_samples()
        assert samples.fine is not None, "these data have no fine labels"
        k = torch.bincount(samples.fine_to_coarse).tolist()
        found = recover(samples.features, samples.coarse, k=k)
        matched = match_clusters(
            found.ids, samples.fine, found.cluster_to_coarse, samples.fine_to_coarse
        )
        tables["by_class.csv"] += [
            {"epoch": epoch, **line} for line in classes(samples, found, matched)
        ]
        tables["pairs.csv"] += [{"epoch": epoch, **line} for line in pairs(samples, matched)]
        for name, lines in tables.items():
            write(asked.out / name, lines)


def write(path: Path, lines: list[Line]) -> None:
    """Write lines of the same fields as a table, numbers to four digits."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, lines[0], lineterminator="\n")
        table.writeheader()
        table.writerows(
            {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in line.items()}
            for line in lines
        )


if __name__ == "__main__":
    main()
