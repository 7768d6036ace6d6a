"""Neural collapse by the conventions of other published code and ours, for docs/conventions.md.

The formulas follow each project's source, operation by operation and in its precision; no code is
copied. The first tables show float64 features, where only definitions
differ. The last shows float32 features near collapse, where arithmetic differs as well.

    python benchmarks/conventions.py
"""

from collections.abc import Callable
from statistics import mean, stdev

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from collapse_lit.measure import neural_collapse

C, D = 5, 64
BALANCED, UNBALANCED = (400,) * C, (1000, 500, 250, 150, 100)
SIGMAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
DRAWS = 5
Values = dict[str, float]
Code = Callable[[Tensor, Tensor, Tensor, Tensor], Values]


def planted(counts: tuple[int, ...], sigma: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(N, D) float64 features around five unlike means that lie off the origin, labels (N,)."""
    draw = torch.Generator().manual_seed(seed)
    means = 1 + torch.randn(C, D, generator=draw, dtype=torch.float64).abs()
    labels = torch.repeat_interleave(torch.arange(C), torch.tensor(counts))
    noise = torch.randn(len(labels), D, generator=draw, dtype=torch.float64)
    return means[labels] + sigma * noise, labels


def head(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(C, D) weight and (C,) bias of a head that is near the class means, and not at them."""
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(C)])
    noise = torch.randn(C, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    weight = means - means.mean(dim=0) + 0.2 * noise.to(means.dtype)
    return weight, -0.5 * weight.square().sum(dim=1)


def ours(h: Tensor, y: Tensor, W: Tensor, b: Tensor) -> Values:
    """``neural_collapse``."""
    return neural_collapse(h, y, C, weight=W, bias=b, vci=False)


def rhubarbwu(h: Tensor, y: Tensor, W: Tensor, b: Tensor) -> Values:
    """rhubarbwu/neural-collapse at c05a0b8, with its accumulators' weights and defaults."""
    ones = torch.nn.functional.one_hot(y, C).T.to(h.dtype)  # (C, N)
    n = ones.sum(dim=1)
    means = ones @ h / n[:, None]
    M = means - means.mean(dim=0)
    e = h - means[y]
    Sw, Sb = e.T @ e / len(h), M.T @ M / C
    v = (ones @ e.square()).sum(dim=1) / n
    nearest = torch.cdist(h, means).argmin(dim=1)
    return {
        "nc1": float((torch.linalg.pinv(Sb) @ Sw).trace()) / C,
        "nc1_trace": float(Sw.trace() / Sb.trace()),
        "cdnv": _pairs((v[:, None] + v) / 2 / (means[:, None] - means).square().sum(dim=-1)),
        "nc2_etf": _from_etf(M @ M.T),
        "nc3 (ETF)": _from_etf(W @ M.T),
        "nc4": 1 - float(((h @ W.T).argmax(dim=1) == nearest).double().mean()),
    }


def nc_toolbox(h: Tensor, y: Tensor, W: Tensor, b: Tensor) -> Values:
    """felixsh/nc-toolbox at a527f99, its centre being the mean of all samples."""
    X, w, labels = h.numpy(), W.numpy(), y.numpy()
    means = np.empty((C, D))
    for c in range(C):
        means[c] = X[labels == c].mean(axis=0)
    M = means - X.mean(axis=0)
    e = np.empty_like(X)
    v = np.empty(C)
    for c in range(C):
        inside = labels == c
        e[inside] = X[inside] - means[c]
        v[c] = np.square(X[inside] - means[c]).sum() / (inside.sum() - 1)
    Sw, Sb = e.T @ e / len(X), M.T @ M / C
    rows, columns = np.triu_indices(C, k=1)
    directions = M / np.linalg.norm(M, axis=1)[:, None]
    cosines = (directions @ directions.T)[rows, columns]
    distances = np.square(means[rows] - means[columns]).sum(axis=1)
    nearest = np.linalg.norm(X[:, None] - means, axis=2).argmin(axis=1)
    return {
        "nc1": float(np.trace(Sw @ np.linalg.pinv(Sb) / C)),
        "nc1_trace": float(np.trace(Sw) / np.trace(Sb)),  # both of its shares, divided
        "cdnv": float(((v[rows] + v[columns]) / (2 * distances)).mean()),
        "nc2_equiangular": float((cosines + 1 / (C - 1)).mean()),
        "nc3": float(np.linalg.norm(w / np.linalg.norm(w) - M / np.linalg.norm(M))),
        "nc4": 1 - float(np.mean((X @ w.T + b.numpy()).argmax(axis=1) == nearest)),
    }


def zhu(h: Tensor, y: Tensor, W: Tensor, b: Tensor) -> Values:
    """tding1/Neural-Collapse at 04ef586: sums sample by sample, centred on the samples' mean."""
    means = torch.zeros(C, D, dtype=h.dtype).index_add_(0, y, h) / torch.bincount(y)[:, None]
    M = means - h.sum(dim=0) / len(h)
    e = h - means[y]
    Sw, Sb = (e.T @ e / len(h)).numpy(), (M.T @ M / C).numpy()
    return {
        "nc1": float(np.trace(Sw @ scipy.linalg.pinv(Sb)) / C),
        "nc2_etf (weight)": _from_etf(W @ W.T),
        "nc3 (ETF)": _from_etf(W @ M.T),
        "nc4 (bias)": float((W @ h.mean(dim=0) + b).norm()),
    }


def galanti(h: Tensor, y: Tensor, W: Tensor, b: Tensor) -> Values:
    """CDNV of Galanti, György, Hutter 2022, its variances as means of squares less squared means.

    The paper defines variances only; evaluators in circulation compute them from these moments.
    """
    means = torch.stack([h[y == c].mean(dim=0) for c in range(C)])
    squares = torch.stack([h[y == c].square().mean(dim=0) for c in range(C)])
    v = (squares - means.square()).sum(dim=1)
    return {"cdnv": _pairs((v[:, None] + v) / 2 / (means[:, None] - means).square().sum(dim=-1))}


CODES: dict[str, Code] = {
    "ours": ours,
    "rhubarbwu": rhubarbwu,
    "nc-toolbox": nc_toolbox,
    "Zhu et al.": zhu,
    "CDNV by moments": galanti,
}
EXTRA = {"nc3 (ETF)": "nc3_etf", "nc2_etf (weight)": "nc2_etf_weight", "nc4 (bias)": "nc4_bias"}
ROWS = (
    *("nc1", "nc1_trace", "cdnv", "nc2_etf", "nc2_etf (weight)", "nc2_equiangular"),
    *("nc3", "nc3 (ETF)", "nc4", "nc4 (bias)"),
)


def _pairs(ratios: Tensor) -> float:
    rows, columns = torch.triu_indices(C, C, offset=1)
    return float(ratios[rows, columns].mean())


def _from_etf(gram: Tensor) -> float:
    """Distance of a (C, C) product, of Frobenius norm one, from that of a simplex ETF."""
    ideal = (torch.eye(C) - 1 / C).to(gram.dtype) / (C - 1) ** 0.5
    return float((gram / gram.norm() - ideal).norm())


def definitions(counts: tuple[int, ...]) -> None:
    """Print every measure by every code, at σ = 0.3 in float64."""
    h, y = planted(counts, 0.3)
    W, b = head(h, y)
    found = {name: code(h, y, W, b) for name, code in CODES.items()}
    variants = neural_collapse(h, y, C, weight=W, bias=b, vci=False, variants=True)
    found["ours"] |= {row: variants[key] for row, key in EXTRA.items()}
    print(f"\nFloat64, σ = 0.3, samples in each class: {', '.join(map(str, counts))}\n")
    _print_head("measure", CODES)
    for row in ROWS:
        cells = (f"{v[row]:.6g}" if row in v else "–" for v in found.values())
        print(f"| {row} | {' | '.join(cells)} |")


def near_collapse(counts: tuple[int, ...], key: str) -> None:
    """Print each code's float32 value ÷ its own float64 value, over draws, on the same features."""
    codes = {n: c for n, c in CODES.items() if key in c(*_both(counts, 0.1, 0)[0])}
    print(f"\n{key} in float32 ÷ the same code in float64, mean ± sd of {DRAWS} draws\n")
    _print_head("σ", codes)
    for sigma in SIGMAS:
        cells = []
        for code in codes.values():
            single, double = zip(*(_both(counts, sigma, s) for s in range(DRAWS)), strict=True)
            ratios = [code(*a)[key] / code(*b)[key] for a, b in zip(single, double, strict=True)]
            cells.append(f"{mean(ratios):.4g} ± {stdev(ratios):.2g}")
        print(f"| {sigma:g} | {' | '.join(cells)} |")


def _both(counts: tuple[int, ...], sigma: float, seed: int) -> tuple[tuple[Tensor, ...], ...]:
    """The same float32 features, once as they are and once in float64, with labels and head."""
    h, y = planted(counts, sigma, seed)
    single = h.float()
    return (single, y, *head(single, y)), (single.double(), y, *head(single.double(), y))


def _print_head(first: str, names: dict[str, Code]) -> None:
    print(f"| {first} | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")


if __name__ == "__main__":
    definitions(BALANCED)
    definitions(UNBALANCED)
    for measured in ("nc1", "cdnv"):
        near_collapse(UNBALANCED, measured)
