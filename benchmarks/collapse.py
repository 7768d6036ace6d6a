"""The cost of measuring neural collapse, as ratios between methods in one run.

Compares our code with the textbook formulas in float64 (a loop over classes, d×d scatters, two
pseudo-inverses). References are one projection of the float32 features on C−1 directions, and one
``X.T @ X``. Times are CPU time of one thread, so that ratios do not depend on scheduling.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from collapse_lit.measure import hierarchical_collapse, neural_collapse

# samples, features, classes; the first row is also measured for two fine classes in each of these
SETTINGS = [
    (50_000, 512, 5),
    (50_000, 512, 5),
    (50_000, 512, 100),
    (10_000, 512, 1000),
    (5_000, 2048, 5),
    (5_000, 2048, 100),
    (5_000, 2048, 1000),
]
COLUMNS = [
    "N × d, C",
    "projection",
    "X.T @ X",
    "ours without VCI",
    "ours",
    "textbook",
    "ours without VCI / projection",
    "ours without VCI / X.T @ X",
    "ours / X.T @ X",
    "textbook / X.T @ X",
    "peak MB: X",
    "ours",
    "textbook",
]


def textbook(X: Tensor, y: Tensor, num_classes: int, W: Tensor, b: Tensor) -> dict[str, float]:
    """All measures by their definitions, class by class, in float64."""
    C, (N, d) = num_classes, X.shape
    X, W, b = X.double(), W.double(), b.double()
    means = torch.stack([X[y == c].mean(dim=0) for c in range(C)])
    M = means - means.mean(dim=0)
    Sw, v, mismatches = X.new_zeros(d, d), X.new_zeros(C), 0
    for c in range(C):
        h = X[y == c]
        e = h - means[c]
        Sw.addmm_(e.T, e, alpha=1 / N)
        v[c] = e.square().sum() / len(e)
        mismatches += int(((h @ W.T + b).argmax(1) != torch.cdist(h, means).argmin(1)).sum())
    Sb = M.T @ M / C
    product, norms = M @ M.T, M.norm(dim=1)
    etf = (torch.eye(C) - 1 / C) / (C - 1) ** 0.5
    off = ~torch.eye(C, dtype=torch.bool)
    ratios = (v[:, None] + v) / (2 * torch.cdist(means, means).square())
    values = {
        "nc1": (Sw @ torch.linalg.pinv(Sb, hermitian=True)).trace() / C,
        "nc1_trace": Sw.trace() / Sb.trace(),
        "cdnv": ratios[off].mean(),
        "vci": 1 - (torch.linalg.pinv(Sb + Sw, hermitian=True) @ Sb).trace() / min(d, C - 1),
        "nc2_equinorm": norms.std(correction=0) / norms.mean(),
        "nc2_equiangular": (product / norms / norms[:, None] + 1 / (C - 1))[off].abs().mean(),
        "nc2_etf": (product / product.norm() - etf).norm(),
        "nc3": (W / W.norm() - M / M.norm()).norm() ** 2,
        "nc4": torch.tensor(mismatches / N),
    }
    return {key: float(value) for key, value in values.items()}


def seconds(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least CPU time of each way; the ways take turns, so that all see the same machine."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
    return best


def with_peak_megabytes(way: Callable[[], object]) -> tuple[float, str]:
    """CPU time of one call, and the most memory it used beyond what was in use; Linux only."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    measurable = sys.platform == "linux"
    if measurable:
        ctypes.CDLL(None).malloc_trim(0)  # glibc: memory that an earlier call freed would hide this
        reset.write_text("5")
        before = _kilobytes(status, "VmRSS")
    start = time.process_time()
    way()
    taken = time.process_time() - start
    peak = f"{(_kilobytes(status, 'VmHWM') - before) / 1024:.0f}" if measurable else "–"
    return taken, peak


def _kilobytes(status: Path, key: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def row(N: int, d: int, C: int, with_fine: bool) -> list[str]:
    torch.manual_seed(0)
    K = 2 * C if with_fine else C
    y = torch.arange(N)[torch.randperm(N)] % K
    fine_to_coarse = torch.arange(K) % C
    X = torch.randn(K, d)[y] + 0.1 * torch.randn(N, d) + 1
    W, b, directions = torch.randn(C, d), torch.randn(C), torch.randn(d, C - 1)

    def ours(vci: bool) -> object:
        if with_fine:
            return hierarchical_collapse(X, y, fine_to_coarse, W, b, vci=vci)
        return neural_collapse(X, y, C, W, b, vci=vci)

    def by_the_book() -> object:
        if with_fine:
            textbook(X, y, K, torch.randn(K, d), torch.randn(K))
        return textbook(X, fine_to_coarse[y], C, W, b)

    fast = {
        "projection": lambda: X @ directions,
        "X.T @ X": lambda: X.T @ X,
        "ours without VCI": lambda: ours(vci=False),
    }
    ours(vci=False)
    s = seconds(fast, 15 if C == 5 and d == 512 else 2)
    slow = {"ours": lambda: ours(vci=True), "textbook": by_the_book}
    memory = {}
    for name, way in slow.items():
        s[name], memory[name] = with_peak_megabytes(way)
    of_projection, of_product = s["projection"], s["X.T @ X"]
    return [
        f"{N:,} × {d}, {f'{C} and {K} fine' if with_fine else C}",
        *(f"{value:.3f} s" for value in s.values()),
        f"{s['ours without VCI'] / of_projection:.1f}",
        *(f"{s[name] / of_product:.1f}" for name in ("ours without VCI", "ours", "textbook")),
        f"{X.nbytes / 2**20:.0f}",
        *memory.values(),
    ]


def main() -> None:
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, float32 features, one thread; least CPU time of 15 (first two"
    )
    print("rows) or 2 runs, of 1 for ours with VCI and the textbook; memory beyond that of X")
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for i, (N, d, C) in enumerate(SETTINGS):
        print("| " + " | ".join(row(N, d, C, with_fine=i == 0)) + " |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
