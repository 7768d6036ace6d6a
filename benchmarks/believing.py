"""When clusters are believed: false alarms on single shapes, power, calibration, real classes.

Prints Markdown tables. For draws of a single shape, they count how often ``k="auto"`` finds more
than one cluster, and how often two requested clusters are called distinct. For two draws of a
shape, far apart, they count how often it finds more than two. For two planted
clusters, they count the same and show the calibration of confidence. With ``--features FILE`` (an
.npz of ``train_features`` and ``train_fine``), they show the verdicts on single real classes and on
pairs, and the accuracy of other methods. With ``--runs RUN``, they show the verdicts on each fine
class of a run, and on every two fine classes of one coarse class.

    python benchmarks/believing.py [--draws 20] [--features FILE.npz ...] [--runs RUN ...]
                                   [--only real]
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor

from collapse_lit.discover.runs import TrainedRun
from collapse_lit.discover.samples import Samples
from collapse_lit.measure import Matching, Recovery, match_clusters, recover

Draw = Callable[[np.random.Generator], np.ndarray]
N, D = 1000, 32


def _noise(rng: np.random.Generator, d: int = D, n: int = N) -> np.ndarray:
    return rng.normal(size=(n, d))


def _arc(
    rng: np.random.Generator, degrees: float, radius: float, d: int = D, n: int = N
) -> np.ndarray:
    x, t = _noise(rng, d, n), np.deg2rad(rng.uniform(0, degrees, n))
    x[:, 0] += radius * np.cos(t)
    x[:, 1] += radius * np.sin(t)
    return x


def _line(rng: np.random.Generator, length: float, d: int) -> np.ndarray:
    x = _noise(rng, d)
    x[:, 0] += rng.uniform(-length / 2, length / 2, N)
    return x


def _relu(rng: np.random.Generator, inner: int, shift: float, d: int, n: int = N) -> np.ndarray:
    return np.maximum(_noise(rng, inner, n) @ rng.normal(size=(inner, d)) - shift, 0)


def _roll(rng: np.random.Generator, n: int = N) -> np.ndarray:
    x, t = _noise(rng, n=n) * 0.5, rng.uniform(1.5, 4.5, n) * np.pi
    x[:, 0] += t * np.cos(t)
    x[:, 1] += t * np.sin(t)
    x[:, 2] += rng.uniform(0, 20, n)
    return x


def _decaying(rng: np.random.Generator, power: float, d: int = 64) -> np.ndarray:
    return _noise(rng, d) * np.arange(1.0, d + 1) ** -power


def _brightness(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(1, D)) + 0.3 * _noise(rng)) * rng.uniform(0.3, 2, (N, 1))


SHAPES: dict[str, Draw] = {  # one shape each; a name with "Gaussian" in it is one
    "Gaussian, d = 1": lambda rng: _noise(rng, 1),
    "Gaussian, d = 2": lambda rng: _noise(rng, 2),
    "Gaussian, d = 32": _noise,
    "Gaussian, d = 128": lambda rng: _noise(rng, 128),
    "Gaussian, sd i^−1, d = 64": lambda rng: _decaying(rng, 1),
    "Gaussian, sd i^−2, d = 64": lambda rng: _decaying(rng, 2),
    "uniform cube": lambda rng: rng.uniform(-1, 1, (N, D)),
    "t, 3 degrees of freedom": lambda rng: rng.standard_t(3, (N, D)),
    "Laplace": lambda rng: rng.laplace(size=(N, D)),
    "exponential": lambda rng: rng.exponential(size=(N, D)),
    "log-normal": lambda rng: rng.lognormal(size=(N, D)),
    "half circle, radius 6": lambda rng: _arc(rng, 180, 6),
    "half circle, radius 10, d = 64": lambda rng: _arc(rng, 180, 10, 64),
    "90° arc, radius 6": lambda rng: _arc(rng, 90, 6),
    "circle, radius 6": lambda rng: _arc(rng, 360, 6),
    "line of 20, d = 32": lambda rng: _line(rng, 20, D),
    "line of 30, d = 128": lambda rng: _line(rng, 30, 128),
    "swiss roll": _roll,
    "sphere": lambda rng: (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True))(_noise(rng)),
    "ReLU(Wz − 1), z 8-d": lambda rng: _relu(rng, 8, 1, D),
    "ReLU(Wz − 1), z 4-d, d = 128": lambda rng: _relu(rng, 4, 1, 128),
    "ReLU(Wz), z 16-d, d = 128": lambda rng: _relu(rng, 16, 0, 128),
    "brightness": _brightness,
    "one column 300 times as wide": lambda rng: _noise(rng) * np.r_[300, np.ones(D - 1)],
    "Gaussian, d = 4": lambda rng: _noise(rng, 4),
    "Gaussian, d = 512": lambda rng: _noise(rng, 512),
    "half circle, radius 6, n = 5000": lambda rng: _arc(rng, 180, 6, n=5000),
    "swiss roll, n = 5000": lambda rng: _roll(rng, 5000),
    "ReLU(Wz − 1), z 8-d, n = 5000": lambda rng: _relu(rng, 8, 1, D, 5000),
}
PLANTED = {  # distance of two Gaussians in standard deviations, and the share of the smaller one
    "3 σ, half": (3.0, 0.5),
    "4 σ, half": (4.0, 0.5),
    "6 σ, half": (6.0, 0.5),
    "4 σ, a tenth": (4.0, 0.1),
    "6 σ, three twentieths": (6.0, 0.15),
    "6 σ, a tenth": (6.0, 0.1),
    "8 σ, a tenth": (8.0, 0.1),
    "12 σ, a hundredth": (12.0, 0.01),
}


PLANTED_SIZES = (600, 1000, 5000)
APART = 12  # standard deviations between two draws of a shape
TWINS = (
    *(
        "Gaussian, d = 32",
        "Gaussian, d = 128",
        "uniform cube",
        "t, 3 degrees of freedom",
        "Laplace",
    ),
    *("exponential", "log-normal", "half circle, radius 6", "ReLU(Wz − 1), z 8-d", "sphere"),
)


def shapes(draws: int) -> None:
    """How often one shape is seen as more."""
    print(f"| one shape, n = {N} | auto: more than one, of {draws} | k = 2: distinct |")
    print("|---|---:|---:|")
    for name, draw in SHAPES.items():
        several, distinct = 0, 0
        for seed in range(draws):
            x = torch.from_numpy(draw(np.random.default_rng(seed))).float()
            coarse = torch.zeros(len(x), dtype=torch.int64)
            several += recover(x, coarse, "auto", seed=seed).k[0] > 1
            distinct += recover(x, coarse, 2, seed=seed).classes[0].distinct
        print(f"| {name} | {several} | {distinct} |", flush=True)


def twins(draws: int) -> None:
    """How often two draws of one shape, far apart, are seen as more than two clusters."""
    print(f"| two of one shape, n = {N} each | auto: two, of {draws} | more |")
    print("|---|---:|---:|")
    for name in TWINS:
        numbers: list[int] = []
        for seed in range(draws):
            first, second = (SHAPES[name](np.random.default_rng([seed, i])) for i in (0, 1))
            second[:, 0] += APART * np.concatenate([first, second])[:, 0].std()
            x = torch.from_numpy(np.concatenate([first, second])).float()
            coarse = torch.zeros(len(x), dtype=torch.int64)
            numbers += recover(x, coarse, "auto", seed=seed).k
        print(f"| {name} | {numbers.count(2)} | {sum(k > 2 for k in numbers)} |", flush=True)


def planted(draws: int) -> None:
    """How often two planted clusters are seen, what is said of them, and how probable."""
    stated: list[np.ndarray] = []
    right: list[np.ndarray] = []
    print(
        f"\n| planted, d = {D} | n | auto says 2, of {draws} | k = 2: distinct | macro accuracy |"
    )
    print("|---|---:|---:|---:|---:|")
    for (name, (distance, share)), n in product(PLANTED.items(), PLANTED_SIZES):
        two, distinct, macro = 0, 0, []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            fine = (rng.uniform(size=n) < share).astype(np.int64)
            x = _noise(rng, n=n)
            x[:, 0] += distance * fine
            features, coarse = torch.from_numpy(x).float(), torch.zeros(n, dtype=torch.int64)
            two += recover(features, coarse, "auto", seed=seed).k[0] == 2
            found = recover(features, coarse, 2, seed=seed)
            distinct += found.classes[0].distinct
            matched = _matched(found, torch.from_numpy(fine))
            macro.append(matched.acc_macro)
            stated.append(found.confidence.numpy())
            right.append((matched.cluster_to_fine[found.ids] == torch.from_numpy(fine)).numpy())
        print(f"| {name} | {n} | {two} | {distinct} | {np.mean(macro):.3f} |", flush=True)
    calibration("planted sets", np.concatenate(stated), np.concatenate(right))


def calibration(what: str, stated: np.ndarray, right: np.ndarray) -> None:
    """How often samples are right whose cluster is stated to be so probable."""
    print(f"\n| confidence, {what} | samples | mean confidence | right |\n|---|---:|---:|---:|")
    for low, high in pairwise((0, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01)):
        inside = (stated >= low) & (stated < high)
        if inside.any():
            name = f"{low} to {min(high, 1)}"
            print(f"| {name} | {inside.sum()} | {stated[inside].mean():.3f} | ", end="")
            print(f"{right[inside].mean():.3f} |")
    tenths = np.minimum((10 * stated).astype(int), 9)
    error = sum(abs(stated[tenths == t].sum() - right[tenths == t].sum()) for t in range(10)) / len(
        stated
    )
    print(f"\nExpected calibration error (ten bins), {what}: {error:.4f}")


def real(path: Path) -> None:
    """What is said of pairs of real classes, and of each class alone; and what others reach."""
    with np.load(path) as arrays:
        features = torch.from_numpy(arrays["train_features"])
        fine = torch.from_numpy(arrays["train_fine"].astype(np.int64))
    pairs = int(fine.max() + 1) // 2
    found, auto = (recover(features, fine % pairs, k) for k in (2, "auto"))
    matched = _matched(found, fine, pairs)
    print(
        f"\n| two true classes, {path.stem} | separation | stability | valley, p | distinct "
        "| accuracy | auto |"
    )
    print("|---|---:|---:|---:|---|---:|---:|")
    for c, number, accuracy in zip(found.classes, auto.k, matched.acc_of_coarse, strict=True):
        print(
            f"| {c.coarse} + {c.coarse + pairs} | {c.separation:.2f} | {c.stability:.2f} "
            f"| {max(c.valleys):.4f} | {'yes' if c.distinct else 'no'} | {accuracy:.3f} "
            f"| {number} |"
        )
    right = (matched.cluster_to_fine[found.ids] == fine).numpy()
    calibration(path.stem, found.confidence.numpy(), right)
    alone = recover(features, fine, "auto").k
    print(f"\nEach class alone, auto: {', '.join(map(str, alone))}", flush=True)
    baselines(path.stem, features, fine, pairs, matched.acc)


def write_members(samples: Samples, found: Recovery, file: Path) -> None:
    """Write the images of the classes with several clusters, for examples/strips.py."""
    paths = samples.paths or range(len(samples.features))
    with file.open("w", newline="", encoding="utf-8") as table:
        lines = csv.writer(table, lineterminator="\n")
        lines.writerow(["path", "cluster"])
        for of_class, start in zip(found.classes, found.first_clusters, strict=True):
            if of_class.k > 1:
                for row, cluster in zip(of_class.index, of_class.ids + start, strict=True):
                    lines.writerow([paths[int(row)], int(cluster)])


ACCURACIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Said:
    """What is said of two fine classes: k = 2, its largest p-value, and the number by auto."""

    pair: str
    accuracy: float
    p: float
    distinct: bool
    auto: int


def siblings(path: Path, members: Path | None) -> None:
    """What is said of each fine class of a run, and of every two inside a coarse class."""
    samples = TrainedRun(path).own_samples()
    assert samples.fine is not None, "these data have no fine labels"
    names, parents = samples.fine_names, samples.fine_to_coarse.tolist()
    alone = recover(samples.features, samples.fine, "auto")
    several = [f"{name} ({k})" for name, k in zip(names, alone.k, strict=True) if k > 1]
    if members is not None:
        write_members(samples, alone, members)
    print(
        f"\n{path.name}: each of {len(names)} fine classes alone, auto: more than one in ", end=""
    )
    print(f"{len(several)}: {', '.join(several) or 'none'}", flush=True)
    said = []
    for first, second in combinations(range(len(names)), 2):
        if parents[first] == parents[second]:
            rows = (samples.fine == first) | (samples.fine == second)
            x, fine = samples.features[rows], (samples.fine[rows] == second).long()
            found, auto = (recover(x, torch.zeros_like(fine), k) for k in (2, "auto"))
            accuracy = _matched(found, fine).acc
            name, of_both = f"{names[first]}+{names[second]}", found.classes[0]
            said.append(Said(name, accuracy, max(of_both.valleys), of_both.distinct, auto.k[0]))
    print_said(said)


def print_said(said: Sequence[Said]) -> None:
    """The table of pairs by accuracy, and the pairs on the wrong side."""
    print("\n| accuracy | pairs | k = 2: distinct | auto: one | two | more |")
    print("|---|---:|---:|---:|---:|---:|")
    for low, high in pairwise(ACCURACIES):
        here = [pair for pair in said if low <= pair.accuracy < high or pair.accuracy == high == 1]
        numbers = [min(pair.auto, 3) for pair in here]
        counts = " | ".join(str(numbers.count(k)) for k in (1, 2, 3))
        distinct = sum(pair.distinct for pair in here)
        print(f"| {low} to {high} | {len(here)} | {distinct} | {counts} |")
    wrong = [f"{x.pair} ({x.accuracy:.2f})" for x in said if x.distinct and x.accuracy < 0.8]
    missed = [f"{x.pair} (p {x.p:.3f})" for x in said if not x.distinct and x.accuracy >= 0.95]
    print(f"\nCalled distinct below .8: {', '.join(wrong) or 'none'}")
    print(f"Not distinct at .95 and more: {', '.join(missed) or 'none'}", flush=True)


def baselines(what: str, features: Tensor, fine: Tensor, pairs: int, ours: float) -> None:
    """Accuracy inside coarse classes of what four lines of scikit-learn do."""
    print(f"\n| method, {what} | accuracy inside coarse classes |\n|---|---:|")
    print(f"| `recover` | {ours:.3f} |")
    methods: dict[str, Callable[[int], Any]] = {
        "16 whitened axes, k-means": lambda seed: KMeans(2, n_init=10, random_state=seed),
        "32 whitened axes, k-means": lambda seed: KMeans(2, n_init=10, random_state=seed),
        "32 whitened axes, mixture, free covariances": lambda seed: GaussianMixture(
            2, random_state=seed
        ),
        "raw, k-means": lambda seed: KMeans(2, n_init=10, random_state=seed),
    }
    for name, method in methods.items():
        seeds = range(4) if "mixture" in name else range(1)
        accuracies = []
        for seed in seeds:
            right = 0.0
            for c in range(pairs):
                mine = fine % pairs == c
                x = features[mine].numpy()
                axes = 0 if name.startswith("raw") else int(name[:2])
                x = PCA(axes, whiten=True).fit_transform(x) if axes else x
                same = (method(seed).fit_predict(x) == (fine[mine] >= pairs).numpy()).sum()
                right += max(same, len(x) - same)
            accuracies.append(right / int((fine < 2 * pairs).sum()))
        shown = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        print(f"| {name}{', seeds 0 to 3' if len(seeds) > 1 else ''} | {shown} |", flush=True)


def _matched(found: Recovery, fine: Tensor, pairs: int = 1) -> Matching:
    coarse_of_fine = torch.arange(2 * pairs) % pairs
    return match_clusters(found.ids, fine, found.cluster_to_coarse, coarse_of_fine)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--features", type=Path, nargs="*", default=[])
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--members", type=Path, help="table of the images of single classes called more than one"
    )
    parser.add_argument("--only", choices=("shapes", "twins", "planted", "real"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only in (None, "shapes"):
        shapes(options.draws)
    if options.only in (None, "twins"):
        twins(options.draws)
    if options.only in (None, "planted"):
        planted(options.draws)
    for path in options.features:
        real(path)
    for path in options.runs:
        siblings(path, options.members)


if __name__ == "__main__":
    main()
