"""Recovery of planted Gaussians: clusters of different sizes, and their number.

Prints three Markdown tables, the first two with four draws per cell. The first counts draws with
the right clusters (macro accuracy of at least .99). The second counts how many of 24 draws (k = 1
… 6) get the planted number from ``k="auto"``. The third counts draws of 12 in which ``k="auto"``
finds three kinds, two of which lie near each other and hide behind the third.
"""

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure import match_clusters, recover

DRAWS = 4
FAR, HIDDEN_DRAWS = 30, 12  # standard deviations; draws per cell of the third table
SIZES = ((950, 50), (970, 30), (1000, 500, 100, 50), (2000, 1000, 400, 200, 100))


def planted(
    sizes: tuple[int, ...], d: int, distance: float, seed: int, stretch: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Features (N, d) and fine labels (N,) of Gaussians whose means are ``distance`` apart."""
    rng = np.random.default_rng(seed)
    fine = np.repeat(np.arange(len(sizes)), sizes)
    means = np.linalg.qr(rng.normal(size=(d, len(sizes))))[0].T * distance / np.sqrt(2)
    scales = np.logspace(0, np.log10(stretch), d)
    x = (means[fine] + rng.normal(size=(len(fine), d))) * scales
    return torch.from_numpy(x).float(), torch.from_numpy(fine)


def right(sizes: tuple[int, ...], distance: float, seed: int) -> bool:
    """Whether all clusters are found, the small ones as well."""
    x, fine = planted(sizes, 24, distance, seed)
    found = recover(x, torch.zeros_like(fine), len(sizes))
    coarse_of_fine = torch.zeros(len(sizes), dtype=torch.int64)
    matching = match_clusters(found.ids, fine, found.cluster_to_coarse, coarse_of_fine)
    return matching.acc_macro >= 0.99


def numbers_right(n: int, d: int, distance: float, stretch: float = 1.0) -> int:
    """In how many of six numbers times four draws the number is found."""
    hits = 0
    for seed in range(DRAWS):
        for k in range(1, 7):
            x, fine = planted((n // k,) * k, d, distance, seed, stretch)
            hits += recover(x, torch.zeros_like(fine), "auto").k == (k,)
    return hits


def hidden_right(each: int, near: float, seed: int) -> bool:
    """Whether three kinds in 32 features are found, two of them near each other, one at 30."""
    kind = torch.arange(3 * each) % 3
    x = torch.randn(3 * each, 32, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += near * (kind == 1)
    x[:, 1] += FAR * (kind == 2)
    return recover(x, torch.zeros_like(kind), "auto").k == (3,)


def hidden() -> None:
    """Print the third table."""
    print(f"\nThree kinds found, one of them {FAR} away, of {HIDDEN_DRAWS} draws:\n")
    print("| samples of each kind | 4 standard deviations apart | 5 | 6 |\n|---|---|---|---|")
    for each in (300, 600, 1000):
        draws = range(HIDDEN_DRAWS)
        hits = [sum(hidden_right(each, near, s) for s in draws) for near in (4, 5, 6)]
        print(f"| {each} | {' | '.join(map(str, hits))} |", flush=True)


def main() -> None:
    print(f"Right in so many of {DRAWS} draws, 24 features:\n")
    print("| sizes | 6 standard deviations apart | 8 | 12 |\n|---|---|---|---|")
    for sizes in SIZES:
        hits = [sum(right(sizes, apart, seed) for seed in range(DRAWS)) for apart in (6, 8, 12)]
        print(f"| {', '.join(map(str, sizes))} | {' | '.join(map(str, hits))} |", flush=True)
    print(f"\nNumber right, of {6 * DRAWS}:\n")
    print("| samples | features | distance | stretch | right |\n|---|---|---|---|---|")
    for case in ((600, 16, 8), (600, 16, 6), (2000, 64, 8), (2000, 64, 6), (2000, 24, 8, 10)):
        n, d, distance, *stretch = case
        print(f"| {n} | {d} | {distance} | {(stretch or [1])[0]} | {numbers_right(*case)} |")
    hidden()


if __name__ == "__main__":
    main()
