"""When clusters are believed: false alarms on single shapes, power on planted clusters.

Three markdown tables. In how many of the draws of a family does ``k="auto"`` see more than one
cluster, and are two clusters that were asked for called distinct, though there is one shape; the
same for two planted clusters; and what is said of pairs of real classes with ``--features FILE``
(an .npz of ``train_features`` and ``train_fine``).

    python benchmarks/believing.py [--draws 20] [--features FILE.npz]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from collapse_lit.measure import match_clusters, recover

Draw = Callable[[np.random.Generator], np.ndarray]
N, D = 1000, 32


def _noise(rng: np.random.Generator, d: int = D, n: int = N) -> np.ndarray:
    return rng.normal(size=(n, d))


def _arc(rng: np.random.Generator, degrees: float, radius: float, d: int = D) -> np.ndarray:
    x, t = _noise(rng, d), np.deg2rad(rng.uniform(0, degrees, N))
    x[:, 0] += radius * np.cos(t)
    x[:, 1] += radius * np.sin(t)
    return x


def _line(rng: np.random.Generator, length: float, d: int) -> np.ndarray:
    x = _noise(rng, d)
    x[:, 0] += rng.uniform(-length / 2, length / 2, N)
    return x


def _relu(rng: np.random.Generator, inner: int, shift: float, d: int) -> np.ndarray:
    return np.maximum(_noise(rng, inner) @ rng.normal(size=(inner, d)) - shift, 0)


def _roll(rng: np.random.Generator) -> np.ndarray:
    x, t = _noise(rng) * 0.5, rng.uniform(1.5, 4.5, N) * np.pi
    x[:, 0] += t * np.cos(t)
    x[:, 1] += t * np.sin(t)
    x[:, 2] += rng.uniform(0, 20, N)
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
}
PLANTED = {  # distance of two Gaussians in standard deviations, and the share of the smaller one
    "3 σ, half": (3.0, 0.5),
    "4 σ, half": (4.0, 0.5),
    "6 σ, half": (6.0, 0.5),
    "6 σ, a tenth": (6.0, 0.1),
    "8 σ, a tenth": (8.0, 0.1),
    "12 σ, a hundredth": (12.0, 0.01),
}


def shapes(draws: int) -> None:
    """How often one shape is seen as more."""
    print(f"| one shape, n = {N} | auto: more than one, of {draws} | k = 2: distinct |")
    print("|---|---:|---:|")
    for name, draw in SHAPES.items():
        several, distinct = 0, 0
        for seed in range(draws):
            x = torch.from_numpy(draw(np.random.default_rng(seed))).float()
            coarse = torch.zeros(N, dtype=torch.int64)
            several += recover(x, coarse, "auto", seed=seed).k[0] > 1
            distinct += recover(x, coarse, 2, seed=seed).classes[0].distinct
        print(f"| {name} | {several} | {distinct} |", flush=True)


def planted(draws: int) -> None:
    """How often two planted clusters are seen, and what is said where two are asked for."""
    print(f"\n| planted, n = {N}, d = {D} | auto says 2, of {draws} | k = 2: distinct | accuracy |")
    print("|---|---:|---:|---:|")
    for name, (distance, share) in PLANTED.items():
        two, distinct, right = 0, 0, []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            fine = (rng.uniform(size=N) < share).astype(np.int64)
            x = _noise(rng)
            x[:, 0] += distance * fine
            features, coarse = torch.from_numpy(x).float(), torch.zeros(N, dtype=torch.int64)
            two += recover(features, coarse, "auto", seed=seed).k[0] == 2
            found = recover(features, coarse, 2, seed=seed)
            distinct += found.classes[0].distinct
            labels, one = torch.from_numpy(fine), torch.zeros(2, dtype=torch.int64)
            right.append(match_clusters(found.ids, labels, found.cluster_to_coarse, one).acc)
        print(f"| {name} | {two} | {distinct} | {np.mean(right):.3f} |", flush=True)


def real(path: Path) -> None:
    """What is said of pairs of real classes, and of each class alone."""
    with np.load(path) as arrays:
        features = torch.from_numpy(arrays["train_features"])
        fine = torch.from_numpy(arrays["train_fine"].astype(np.int64))
    pairs = int(fine.max() + 1) // 2
    found, auto = (recover(features, fine % pairs, k) for k in (2, "auto"))
    print(
        "\n| two true classes | separation | stability | valley, p | distinct | accuracy | auto |"
    )
    print("|---|---:|---:|---:|---|---:|---:|")
    for c, number in zip(found.classes, auto.k, strict=True):
        truth = (fine[c.index] >= pairs).long()
        same = float((c.ids == truth).float().mean())
        print(
            f"| {c.coarse} + {c.coarse + pairs} | {c.separation:.2f} | {c.stability:.2f} "
            f"| {max(c.valleys):.4f} | {'yes' if c.distinct else 'no'} | {max(same, 1 - same):.3f} "
            f"| {number} |"
        )
    alone = recover(features, fine, "auto").k
    print(f"\nEach class alone, auto: {', '.join(map(str, alone))}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--features", type=Path)
    options = parser.parse_args()
    shapes(options.draws)
    planted(options.draws)
    if options.features is not None:
        real(options.features)


if __name__ == "__main__":
    main()
