"""Every measure against a dense float64 reference, against 50 digits, and by hand."""

import math
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lit.measure import class_distances, hierarchical_collapse, neural_collapse
from collapse_lit.measure.collapse import statistics


def dense(features: Tensor, labels: Tensor, num_classes: int, W: Tensor, b: Tensor) -> dict:
    """The definitions, word for word, one class at a time."""
    h, y = features.double().numpy(), labels.numpy()
    W, b = W.double().numpy(), b.double().numpy()
    C, (N, d) = num_classes, h.shape
    mu = np.stack([h[y == c].mean(axis=0) for c in range(C)])
    M = mu - mu.mean(axis=0)
    Sw, Sb = np.zeros((d, d)), np.zeros((d, d))
    v = []
    for c in range(C):
        e = h[y == c] - mu[c]
        Sw += e.T @ e / N
        Sb += np.outer(M[c], M[c]) / C
        v.append((e**2).sum(axis=1).mean())
    pairs = [(i, j) for i in range(C) for j in range(C) if i != j]
    norms = np.linalg.norm(M, axis=1)
    etf = (np.eye(C) - np.ones((C, C)) / C) / np.sqrt(C - 1)
    product = M @ M.T
    to_means = ((h[:, None] - mu) ** 2).sum(axis=2)
    singular = np.linalg.svd(h, compute_uv=False)
    p = singular[singular > 1e-9 * singular[0]] / singular.sum()

    def along(i: int, j: int) -> float:
        line = mu[j] - mu[i]
        return ((h[y == i] - mu[i]) @ line / np.linalg.norm(line)).var() / (line @ line)

    return {
        "nc1": np.trace(Sw @ np.linalg.pinv(Sb, hermitian=True)) / C,
        "nc1_trace": np.trace(Sw) / np.trace(Sb),
        "cdnv": np.mean([(v[i] + v[j]) / (2 * ((mu[i] - mu[j]) ** 2).sum()) for i, j in pairs]),
        "vci": 1 - np.trace(np.linalg.pinv(Sb + Sw, hermitian=True) @ Sb) / min(d, C - 1),
        "directional_cdnv": np.mean([along(i, j) for i, j in pairs]),
        "rankme": np.exp(-(p * np.log(p)).sum()),
        "nc2_equinorm": norms.std() / norms.mean(),
        "nc2_equiangular": np.mean(
            [abs(M[i] @ M[j] / norms[i] / norms[j] + 1 / (C - 1)) for i, j in pairs]
        ),
        "nc2_etf": np.linalg.norm(product / np.linalg.norm(product) - etf),
        "nc3": np.linalg.norm(W / np.linalg.norm(W) - M / np.linalg.norm(M)) ** 2,
        "nc4": np.mean((h @ W.T + b).argmax(axis=1) != to_means.argmin(axis=1)),
    }


def to_fifty_digits(features: Tensor, labels: Tensor, num_classes: int) -> dict:
    """NC1, the trace ratio, CDNV and VCI of small inputs, where float64 would not be sound."""
    with mpmath.workdps(50):
        h, C, d = features.double().tolist(), num_classes, features.shape[1]
        rows = [
            [mpmath.matrix(x) for x, c in zip(h, labels, strict=True) if c == k] for k in range(C)
        ]
        mu = [sum(of_class, mpmath.zeros(d, 1)) / len(of_class) for of_class in rows]
        centre = sum(mu, mpmath.zeros(d, 1)) / C
        M = [m - centre for m in mu]
        Sb = sum((m * m.T for m in M), mpmath.zeros(d)) / C
        Sw = mpmath.zeros(d)
        v = []
        for of_class, m in zip(rows, mu, strict=True):
            residuals = [x - m for x in of_class]
            Sw += sum((e * e.T for e in residuals), mpmath.zeros(d)) / len(h)
            v.append(sum((e.T * e)[0] for e in residuals) / len(of_class))
        eigenvalues, Q = mpmath.eigsy(Sb)
        along = [(Q[:, i].T * Sw * Q[:, i])[0] / eigenvalues[i] for i in range(d - C + 1, d)]
        between = mpmath.inverse(Sb + Sw) * Sb
        ratios = [
            (v[i] + v[j]) / (2 * ((mu[i] - mu[j]).T * (mu[i] - mu[j]))[0])
            for i in range(C)
            for j in range(C)
            if i != j
        ]
        trace = lambda A: sum(A[i, i] for i in range(d))  # noqa: E731
        return {
            "nc1": float(sum(along) / C),
            "nc1_trace": float(trace(Sw) / trace(Sb)),
            "cdnv": float(sum(ratios) / len(ratios)),
            "vci": float(1 - trace(between) / min(d, C - 1)),
        }


def planted(
    counts: list[int], d: int, sigma: float, offset: float = 0.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gaussian classes with correlated noise around random means, shuffled; and a random head."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    C = len(counts)
    labels = torch.arange(C).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    noise = normal(len(labels), d) @ (torch.eye(d) + normal(d, d) / d)
    features = normal(C, d)[labels] + sigma * noise + offset
    return features, labels, normal(C, d), normal(C) * 3


def with_dead_features() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, labels, W, b = planted([60] * 5, 16, sigma=1.0)
    features[:, 3:6] = 0.0
    features[:, 9] = features[:, 10]
    return features, labels, W, b


SETTINGS = {
    "random": planted([60] * 5, 32, sigma=1.0),
    "imbalanced": planted([7, 300, 2, 41, 90], 24, sigma=0.5),
    "more classes than dimensions": planted([30] * 12, 8, sigma=0.3),
    "dead and doubled features": with_dead_features(),
    "near collapse": planted([50, 80, 40], 16, sigma=1e-4, offset=100.0),
    "fewer samples than dimensions": planted([6, 5, 4], 64, sigma=0.5),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_agrees_with_the_definitions(setting):
    features, labels, W, b = SETTINGS[setting]
    C = len(W)
    found = neural_collapse(features, labels, C, W, b)
    expected = dense(features, labels, C, W, b)
    if setting == "near collapse":  # 1 − … leaves the reference 8 digits less than float64 has
        expected["vci"] = to_fifty_digits(features, labels, C)["vci"]
    if setting == "fewer samples than dimensions":  # the formula gives 0, for whatever features
        assert expected.pop("vci") == pytest.approx(0, abs=1e-12)
        assert math.isnan(found.pop("vci"))
    assert set(expected) <= set(found)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-8, abs=0), key
    assert found["nc1_rank"] == min(C - 1, features.shape[1])
    assert 0 < expected["nc4"] < 1, "a setting in which nc4 says nothing"


@pytest.mark.parametrize("sigma", [1e-2, 1e-5, 1e-8])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_right_to_the_last_digit_on_the_way_to_full_collapse(sigma, offset):
    features, labels, _, _ = planted([9, 14, 11], 5, sigma, offset)
    found = neural_collapse(features, labels, 3)
    for key, value in to_fifty_digits(features, labels, 3).items():
        assert found[key] == pytest.approx(value, rel=1e-10, abs=0), key


def test_float32_features_far_from_the_origin():
    features, labels, _, _ = planted([400] * 5, 64, sigma=1e-3, offset=10.0)
    expected = dense(features, labels, 5, torch.ones(5, 64), torch.zeros(5))
    found = neural_collapse(features.float(), labels, 5)
    assert found["nc1"] == pytest.approx(expected["nc1"], rel=1e-4)
    assert found["nc1_trace"] == pytest.approx(expected["nc1_trace"], rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_features_are_measured_as_they_are(dtype):
    features, labels, W, b = SETTINGS["random"]
    low = features.to(dtype)
    assert neural_collapse(low, labels, 5, W, b) == neural_collapse(low.double(), labels, 5, W, b)


def test_simplex_etf_by_hand():
    # Four means at 2·(e_c − ¼), and for each class four samples at ± 0.1 along a fifth axis.
    C = 4
    M = 2 * (torch.eye(C, dtype=torch.float64) - 1 / C)
    aside = torch.tensor([0.1, -0.1], dtype=torch.float64).repeat(2 * C)
    features = torch.cat([M.repeat_interleave(4, dim=0), aside[:, None]], dim=1) + 7  # (16, 5)
    labels = torch.arange(C).repeat_interleave(4)
    weight = torch.cat([3 * M, torch.zeros(C, 1)], dim=1)
    found = neural_collapse(features, labels, C, weight)
    assert found["nc1"] == pytest.approx(0, abs=1e-14)  # no scatter between the means
    assert found["nc1_trace"] == pytest.approx(0.01 / 3)  # ‖M_c‖² = 4·¾
    assert found["cdnv"] == pytest.approx(0.01 / 8)  # ‖mu_i − mu_j‖² = 8
    assert found["vci"] == pytest.approx(0, abs=1e-14)
    assert found["nc1_rank"] == 3
    assert found["nc1_singular_ratio"] == pytest.approx(1)
    for key in ("nc2_equinorm", "nc2_equiangular", "nc2_etf", "nc3", "nc4"):
        assert found[key] == pytest.approx(0, abs=1e-14), key

    along = torch.cat([M.repeat_interleave(4, dim=0) * (1 + aside[:, None]), aside[:, None]], dim=1)
    found = neural_collapse(along, labels, C)
    assert found["nc1"] == pytest.approx(0.03 / 4)  # Sw = 0.01·Sb in the means' span


@pytest.mark.parametrize("ratio", [1e-2, 1e-5, 1e-9])
def test_a_short_direction_between_the_means_is_not_dropped(ratio):
    # Means ± 1 on one axis and ± ratio on another; the noise is (sigma_1, sigma_2) on each.
    means = torch.tensor([[1, 0], [-1, 0], [0, ratio], [0, -ratio]], dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.01 * ratio], dtype=torch.float64)
    corners = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64) * sigma
    features = (means[:, None] + corners).reshape(16, 2)
    found = neural_collapse(features, torch.arange(4).repeat_interleave(4), 4)
    assert found["nc1"] == pytest.approx((0.1**2 / 0.5 + 0.01**2 / 0.5) / 4, rel=1e-6)
    assert found["nc1_rank"] == 2
    assert found["nc1_singular_ratio"] == pytest.approx(ratio)


def test_the_bias_has_a_say_in_nc4():
    features, labels, _, _ = planted([20, 20], 3, sigma=0.01)
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(2)])
    halfway = -(means.square().sum(dim=1)) / 2
    assert neural_collapse(features, labels, 2, means, halfway)["nc4"] == 0
    always_first = torch.tensor([1e6, 0.0])
    assert neural_collapse(features, labels, 2, means, always_first)["nc4"] == 0.5


def test_other_definitions_in_use():
    features, labels, W, b = SETTINGS["imbalanced"]
    plain = neural_collapse(features, labels, 5, W, b)
    found = neural_collapse(features, labels, 5, W, b, variants=True)
    assert found["nc1_undivided"] == pytest.approx(5 * plain["nc1"])
    assert found["nc3_unsquared"] == pytest.approx(math.sqrt(plain["nc3"]))
    assert found["nc4_agreement"] == pytest.approx(1 - plain["nc4"])
    means = torch.stack([features[labels == c].mean(dim=0) for c in range(5)])
    M = means - means.mean(dim=0)
    for key, product in {"nc2_etf_weight": W @ W.T, "nc3_etf": W @ M.T}.items():
        etf = (torch.eye(5) - 0.2) / 2
        assert found[key] == pytest.approx(float((product / product.norm() - etf).norm())), key
    assert found["nc4_bias"] == pytest.approx(float((W @ means.mean(dim=0) + b).norm()))
    assert {key: found[key] for key in plain} == plain
    assert set(neural_collapse(features, labels, 5, variants=True)) == (
        set(plain) - {"nc3", "nc4"} | {"nc1_undivided"}
    )


def test_without_vci_the_rest_is_the_same():
    features, labels, W, b = SETTINGS["random"]
    full = neural_collapse(features, labels, 5, W, b)
    assert full["vci"] > 0
    without = neural_collapse(features, labels, 5, W, b, vci=False)
    assert without == {key: full[key] for key in full if key not in ("vci", "rankme")}


def test_blocks_of_rows_make_no_difference(monkeypatch):
    features, labels, W, b = SETTINGS["random"]
    whole = neural_collapse(features, labels, 5, W, b)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(statistics, "CPU_BLOCK", 7 * features.shape[1])  # 300 rows: 42 blocks and 6
    assert neural_collapse(features, labels, 5, W, b) == pytest.approx(whole, rel=1e-12)


def test_features_are_left_alone():
    features, labels, W, b = (x.clone() for x in SETTINGS["random"])
    before = features.clone()
    trained = torch.nn.Parameter(W)
    neural_collapse(features.requires_grad_(), labels.int(), 5, trained, b)
    assert torch.equal(features, before)


def test_coarse_and_fine_from_one_set_of_statistics():
    features, fine, _, _ = planted([30, 5, 60, 22, 40, 18], 12, sigma=0.3, offset=5.0)
    fine_to_coarse = torch.tensor([2, 0, 1, 0, 1, 2])
    coarse = fine_to_coarse[fine]
    _, _, W, b = planted([1, 1, 1], 12, sigma=1.0)
    both = hierarchical_collapse(features, fine, fine_to_coarse, W, b)
    assert both.coarse == pytest.approx(neural_collapse(features, coarse, 3, W, b), rel=1e-11)
    explained = both.fine["explained"]
    alone = neural_collapse(features, fine, 6)
    assert {key: both.fine[key] for key in alone} == pytest.approx(alone, rel=1e-11)
    assert torch.equal(both.distances, class_distances(features, fine, 6))

    total = sum(
        (features[coarse == c] - features[coarse == c].mean(0)).square().sum() for c in range(3)
    )
    within = sum(
        (features[fine == f] - features[fine == f].mean(0)).square().sum() for f in range(6)
    )
    assert explained == pytest.approx(float((total - within) / total))


def test_explained_by_hand():
    # Coarse class 0 holds 0 0 4 4: all of its scatter lies between its fine classes. Coarse class 1
    # holds 9 11 9 11, with equal fine means: none does. Scatters 4·2² and 4·1².
    features = torch.tensor([[0.0], [0], [4], [4], [9], [11], [9], [11]])
    fine = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    both = hierarchical_collapse(features, fine, torch.tensor([0, 0, 1, 1]))
    assert both.fine["explained"] == pytest.approx(16 / 20)


def test_a_head_on_the_fine_classes_belongs_to_them():
    features, fine, W, b = planted([30, 50, 60, 22], 12, sigma=0.3)
    both = hierarchical_collapse(features, fine, torch.tensor([0, 0, 1, 1]), W, b)
    assert "nc4" not in both.coarse
    expected = neural_collapse(features, fine, 4, W, b)
    assert {key: both.fine[key] for key in expected} == pytest.approx(expected, rel=1e-11)


def test_class_distances_are_mean_squared_distances_of_pairs():
    features, labels, _, _ = planted([4, 7, 1], 6, sigma=0.8, offset=3.0)
    found = class_distances(features, labels, 4)
    for i in range(3):
        for j in range(3):
            a, b = features[labels == i], features[labels == j]
            squared = (a[:, None] - b).square().sum(dim=2)
            pairs = len(a) * (len(b) - 1) if i == j else len(a) * len(b)
            if pairs > 0:
                assert float(found[i, j]) == pytest.approx(float(squared.sum() / pairs)), (i, j)
    assert found.dtype == torch.float64
    assert found[2, 2].isnan(), "one sample has no distance to another of its class"
    assert found[3].isnan().all()
    assert found[:, 3].isnan().all()


def test_distances_of_nearly_equal_means_keep_their_digits():
    features = torch.tensor([[1000.0, 0], [1000.0, 1e-6], [-1000.0, 0]], dtype=torch.float64)
    found = class_distances(features, torch.arange(3), 3)
    assert float(found[0, 1]) == pytest.approx(1e-12, rel=1e-9, abs=0)
    assert float(found[0, 2]) == pytest.approx(4e6)


class TestDegenerate:
    def test_full_collapse_is_exactly_zero(self):
        features = torch.eye(3).repeat(5, 1) + 100
        found = neural_collapse(features, torch.arange(3).repeat(5), 3)
        assert [found[key] for key in ("nc1", "nc1_trace", "cdnv", "vci")] == [0, 0, 0, 0]
        both = hierarchical_collapse(features, torch.arange(3).repeat(5), torch.tensor([0, 1, 2]))
        assert math.isnan(both.fine["explained"])

    def test_one_sample_a_class_has_no_scatter(self):
        features, labels, _, _ = planted([1, 1, 20], 4, sigma=0.5)
        found = neural_collapse(features, labels, 3)
        scatter = (features[labels == 2] - features[labels == 2].mean(0)).square().sum() / 22
        M = torch.stack([features[labels == c].mean(0) for c in range(3)])
        M -= M.mean(0).clone()
        assert found["nc1_trace"] == pytest.approx(float(scatter / M.square().sum() * 3))

    def test_two_equal_means(self):
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(10, 6, generator=generator, dtype=torch.float64)
        noise = torch.cat([noise, -noise])
        means = torch.randn(4, 6, generator=generator, dtype=torch.float64)
        means[3] = means[1]
        features = (means[:, None] + noise).reshape(80, 6)
        found = neural_collapse(features, torch.arange(4).repeat_interleave(20), 4)
        assert found["nc1_rank"] == 2
        M = (means - means.mean(0)).numpy()
        along = np.trace(
            (noise.T @ noise / 20).numpy() @ np.linalg.pinv(M.T @ M / 4, hermitian=True)
        )
        assert found["nc1"] == pytest.approx(along / 4)
        assert found["cdnv"] > 1e20  # infinite but for the rounding of the two means

    def test_all_means_equal(self):
        features = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
        found = neural_collapse(features, torch.tensor([0, 0, 1, 1]), 2, torch.eye(2))
        assert found["nc1_rank"] == 0
        assert found["cdnv"] == math.inf
        assert found["vci"] == 1
        for key in ("nc1", "nc1_singular_ratio", "nc2_equinorm", "nc3", "nc4"):
            assert math.isnan(found[key]), key

    def test_an_empty_class_is_named(self):
        features, labels, _, _ = planted([5, 5, 5], 4, sigma=1.0)
        with pytest.raises(ValueError, match="no samples of class 3, 4"):
            neural_collapse(features, labels, 5)

    def test_an_empty_fine_class_leaves_the_coarse_measures(self):
        features, fine, _, _ = planted([5, 5, 5], 4, sigma=1.0)
        both = hierarchical_collapse(features, fine, torch.tensor([0, 1, 1, 0]))
        coarse = neural_collapse(features, torch.tensor([0, 1, 1])[fine], 2)
        assert both.coarse == pytest.approx(coarse, rel=1e-11)
        assert 0 < both.fine.pop("explained") < 1
        assert all(math.isnan(value) for value in both.fine.values())
        with pytest.raises(ValueError, match="no samples of coarse class 2"):
            hierarchical_collapse(features, fine, torch.tensor([0, 1, 1, 2]))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_values_that_are_not_finite_are_counted_by_class(self, value):
        features, labels, _, _ = planted([5, 6], 4, sigma=1.0)
        rows = (labels == 1).nonzero().flatten()
        features[rows[0], 2], features[rows[3], 0] = value, -value
        with pytest.raises(ValueError, match="NaN or Inf: class 1 in 2 of 6 samples"):
            neural_collapse(features, labels, 2)

    def test_sums_that_overflow(self):
        with pytest.raises(ValueError, match="overflow"):
            class_distances(
                torch.full((2, 1), 1e308, dtype=torch.float64), torch.zeros(2).long(), 1
            )

    @pytest.mark.parametrize(
        ("features", "labels", "message"),
        [
            (torch.zeros(3, 2), torch.tensor([0, 1, 5]), r"1 labels lie outside 0\.\.1"),
            (torch.zeros(3, 2), torch.tensor([0, -1, -1]), r"2 labels lie outside 0\.\.1"),
            (torch.zeros(3, 2), torch.tensor([0, 1]), r"\(3, 2\) torch.float32 and \(2,\)"),
            (torch.zeros(3), torch.tensor([0, 1, 1]), r"\(N, d\)"),
            (torch.zeros(3, 2).long(), torch.tensor([0, 1, 1]), "floating point"),
            (torch.zeros(3, 2), torch.tensor([0.0, 1, 1]), "integers"),
            (torch.zeros(0, 2), torch.zeros(0).long(), "no samples of class 0, 1"),
        ],
    )
    def test_wrong_input_is_told(self, features, labels, message):
        with pytest.raises(ValueError, match=message):
            neural_collapse(features, labels, 2)

    @pytest.mark.parametrize(
        ("weight", "bias", "message"),
        [
            (torch.ones(3, 4), None, r"weight must have shape \(2, 4\).* not \(3, 4\)"),
            (torch.ones(2, 5), None, r"weight must have shape \(2, 4\)"),
            (torch.ones(2, 4), torch.ones(3), r"bias must have shape \(2,\)"),
            (None, torch.ones(2), "bias was given without weight"),
        ],
    )
    def test_a_head_that_does_not_fit_is_told(self, weight, bias, message):
        features, labels, _, _ = planted([5, 6], 4, sigma=1.0)
        with pytest.raises(ValueError, match=message):
            neural_collapse(features, labels, 2, weight, bias)

    def test_one_class_cannot_collapse(self):
        with pytest.raises(ValueError, match="at least two classes"):
            neural_collapse(torch.ones(3, 2), torch.zeros(3).long(), 1)
        with pytest.raises(ValueError, match="at least two coarse classes"):
            hierarchical_collapse(torch.ones(3, 2), torch.arange(3), torch.zeros(3))


def test_importing_the_measures_imports_no_framework():
    code = (
        "import sys, collapse_lit.measure; "
        "print(*{'lightning', 'torchmetrics', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
