"""Numbers that follow from one run or several."""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kept import HERE, Row, Run
from scipy.stats import spearmanr

from collapse_lit.metrics import CEILING, HEADLINE, TEST_ACCURACY

LEARNT = 0.995  # coarse training accuracy from which the terminal phase is counted


def mean_of(runs: Sequence[Run]) -> dict[str, float]:
    """Means over the last measured epochs of some runs, by metric."""
    rows = [run.last for run in runs]
    return {
        key: float(np.mean([row[key] for row in rows]))
        for key, value in rows[0].items()
        if isinstance(value, float)
    }


def std_of(runs: Sequence[Run]) -> dict[str, float]:
    """Standard deviations over the last measured epochs of some runs, n − 1, by metric."""
    rows = [run.last for run in runs]
    return {
        key: float(np.std([row[key] for row in rows], ddof=1))
        for key, value in rows[0].items()
        if isinstance(value, float)
    }


def information(row: Row) -> float:
    """What is left: how many of the coarse answers on the test set a probe on true labels refines.

    The probe's accuracy on fine labels, over the network's own on coarse ones.
    """
    return row[CEILING] / row[TEST_ACCURACY]


def found(row: Row) -> float:
    """What of it is found without fine labels: the headline, over its ceiling."""
    return row[HEADLINE] / row[CEILING]


def late_found(run: Run, epochs: int = 5) -> float:
    """Mean of :func:`found` over the last measured epochs."""
    return float(np.mean([found(row) for row in run.history[-epochs:]]))


def learnt(run: Run) -> list[Row]:
    """The measured epochs that belong to the terminal phase: training images are all but learnt."""
    return [row for row in run.history if row["train/acc_coarse"] >= LEARNT]


def apartness(ten: Run) -> dict[tuple[str, str], float]:
    """How far apart images of two classes lie in a network that was told the classes.

    Mean squared distance between images of the two, over that between images of the same one.
    """
    names, ratios = ten.distances[-1]["fine"], over_inside(ten.distances[-1])
    return {
        (names[i], names[j]): float(ratios[i, j])
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True)
    }


def over_inside(snapshot: Mapping[str, Any]) -> np.ndarray:
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


def rank_correlation(maps: Mapping[Run, str], apart: Mapping[tuple[str, str], float]) -> float:
    """Spearman's, over the merged pairs of all maps: of apartness and recovery."""
    found = [(apart[pair], share) for run in maps for pair, share in merged_pairs(run)]
    return float(spearmanr(found).statistic)


def siblings_apart(run: Run) -> dict[str, float]:
    """Mean apartness of the fine classes inside each coarse class, by its name."""
    snapshot, apart = run.distances[-1], over_inside(run.distances[-1])
    parents = np.array(snapshot["fine_to_coarse"])
    means = {}
    for c, name in enumerate(snapshot["coarse"]):
        inside = apart[np.ix_(parents == c, parents == c)]
        means[name] = float(inside[~np.eye(len(inside), dtype=bool)].mean())
    return means


def measured_by_class(run: Run) -> list[dict[str, str]]:
    """Each coarse class of a run, epoch by epoch, as results/by_class.py wrote it."""
    return _lines(run, "by_class.csv")


def gaps_to_truth(run: Run) -> dict[str, float]:
    """By coarse class at the last measured epoch: separation of what is found minus the truth's."""
    lines = measured_by_class(run)
    last = [line for line in lines if line["epoch"] == lines[-1]["epoch"]]
    return {line["class"]: float(line["found"]) - float(line["truth"]) for line in last}


def sibling_pairs(run: Run) -> np.ndarray:
    """(P, 2): apartness of two fine classes of one coarse class, and the share told apart."""
    lines = _lines(run, "pairs.csv")
    return np.array([[float(line["apartness"]), float(line["told apart"])] for line in lines])


def sibling_correlation(run: Run) -> float:
    """Spearman's, over the pairs of :func:`sibling_pairs`."""
    return float(spearmanr(sibling_pairs(run)).statistic)


def widest_to_narrowest(runs: Sequence[Run]) -> float:
    """Of runs on Gaussian mixtures: the largest quotient of NC1 by traces, at the last epoch, of
    the widest network by that of the narrowest at the same distance.
    """
    at = {distance_and_width(run): run.last["collapse/nc1_trace"] for run in runs}
    narrow, wide = min(width for _, width in at), max(width for _, width in at)
    return max(at[distance, wide] / at[distance, narrow] for distance, _ in at)


def _lines(run: Run, name: str) -> list[dict[str, str]]:
    with (HERE / "runs" / run.name / name).open(newline="") as file:
        return list(csv.DictReader(file))


def halves_and_others(snapshot: Mapping[str, Any]) -> tuple[float, float]:
    """Mean apartness of the two halves of a class, and of parts of different classes."""
    parents = np.array([name.rsplit("/", 1)[0] for name in snapshot["fine"]])
    apart = over_inside(snapshot)
    siblings = (parents[:, None] == parents[None, :]) & ~np.eye(len(parents), dtype=bool)
    return apart[siblings].mean(), apart[parents[:, None] != parents[None, :]].mean()


def distance_and_width(run: Run) -> tuple[float, int]:
    """Of a run on a Gaussian mixture: distance of its fine classes, width of its network."""
    config = run.config
    return config["data"]["gaussian"]["fine_distance"], config["model"]["backbone_args"]["width"]
