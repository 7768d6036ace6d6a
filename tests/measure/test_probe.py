"""The linear probe against scikit-learn's logistic regression, and at every scale of collapse."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from collapse_lit.measure import cluster_and_linear_probe, fit_probe
from collapse_lit.measure.recovery import probe
from collapse_lit.measure.recovery.probe import PENALTY, fit_whitened, whiten


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x, y = torch.from_numpy(data.data).float(), torch.from_numpy(data.target)
    return x[:1200], y[:1200], x[1200:], y[1200:]


def near_collapse(sigma, n=4000, d=32, seed=0):
    """Two fine classes in each of three coarse classes, sigma times smaller than these."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randint(6, (n,), generator=generator)
    coarse_means = torch.randn(3, d, generator=generator)
    offsets = torch.randn(6, d, generator=generator)
    offsets *= 5 / (offsets[:3] - offsets[3:]).norm(dim=1).repeat(2)[:, None]
    residuals = offsets[fine] + torch.randn(n, d, generator=generator)
    return 10 + coarse_means[fine % 3] + sigma * residuals, fine


def test_it_is_penalised_logistic_regression_in_whitened_coordinates(digits):
    x, y, x_test, _ = digits
    probe = fit_probe(x, y, 10)
    centred = x.double().numpy() - x.double().numpy().mean(axis=0)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(x))
    whitening = axes[:, variance > 1e-9] / np.sqrt(variance[variance > 1e-9])
    reference = LogisticRegression(C=1 / (PENALTY * len(x)), tol=1e-8, max_iter=5000)
    reference.fit(centred @ whitening, y)
    logits = reference.decision_function(centred @ whitening)
    nll = torch.nn.functional.cross_entropy(torch.from_numpy(logits), y).item()
    loss = nll + PENALTY / 2 * np.square(reference.coef_).sum()
    assert probe.loss == pytest.approx(loss, rel=1e-3)
    shifted = x_test.double().numpy() - x.double().numpy().mean(axis=0)
    agreement = (probe.predict(x_test).numpy() == reference.predict(shifted @ whitening)).mean()
    assert agreement > 0.995


@pytest.mark.parametrize("sigma", [1.0, 1e-2, 1e-4])
def test_fine_classes_are_found_however_far_collapse_has_gone(sigma):
    x, fine = near_collapse(sigma)
    right = fit_probe(x[:3000], fine[:3000], 6).predict(x[3000:]) == fine[3000:]
    assert right.double().mean() > 0.98


def test_it_does_not_depend_on_scale_or_basis(digits):
    x, y, x_test, _ = digits
    mixing = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))[0]
    mixing = mixing * torch.logspace(-2, 2, 64)
    here, there = fit_probe(x, y, 10), fit_probe(x @ mixing, y, 10)
    assert there.loss == pytest.approx(here.loss, rel=1e-3)
    same = here.predict(x_test) == there.predict(x_test @ mixing)
    assert same.double().mean() > 0.995


def test_constant_features_and_absent_classes_are_fine(digits):
    x, y, x_test, y_test = digits
    some = y != 3
    predicted = fit_probe(x[some], y[some], 12).predict(x_test)
    assert set(predicted.tolist()) == set(range(10)) - {3}
    seen = y_test != 3
    assert (predicted == y_test)[seen].double().mean() > 0.9


def test_cluster_and_linear_probe_predicts_cluster_ids(digits):
    x, y, x_test, _ = digits
    predicted = cluster_and_linear_probe(x, (y * 3 + 1) % 10, x_test)  # any names for the clusters
    named = (fit_probe(x, y, 10).predict(x_test) * 3 + 1) % 10
    assert (predicted == named).double().mean() > 0.995


def test_bad_inputs_are_named(digits):
    x, y, _, _ = digits
    with pytest.raises(ValueError, match=r"outside 0\.\.4"):
        fit_probe(x, y, 5)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_probe(torch.full_like(x, torch.nan), y, 10)
    with pytest.raises(ValueError, match=r"must be \(N, d\)"):
        fit_probe(x, y[:5], 10)
    with pytest.raises(ValueError, match="no samples"):
        fit_probe(x[:0], y[:0], 10)


def test_answers_can_be_kept_to_some_classes(digits):
    x, y, x_test, y_test = digits
    probe = fit_probe(x, y, 10)
    allowed = y_test[:, None] % 5 == torch.arange(10) % 5  # the digit or the one five away
    told = probe.predict(x_test, allowed)
    assert (told % 5 == y_test % 5).all()
    logits = probe.logits(x_test)
    assert torch.equal(probe.predict(x_test), logits.argmax(dim=1))
    two = logits.gather(1, torch.stack([y_test % 5, y_test % 5 + 5], dim=1))
    assert torch.equal(told, y_test % 5 + 5 * two.argmax(dim=1))


def test_an_evaluation_waits_for_the_device_once(digits, monkeypatch):
    """For loss and gradient together; a GPU stands still while the host waits for each alone."""
    x, y, *_ = digits
    white = whiten(x, y, 10)
    evaluated, waited = [], []
    loss, cpu, as_float = probe.cross_entropy, torch.Tensor.cpu, torch.Tensor.__float__
    monkeypatch.setattr(
        probe, "cross_entropy", lambda *a, **k: evaluated.append(1) or loss(*a, **k)
    )
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: waited.append(1) or cpu(self))
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: waited.append(1) or as_float(self))
    fit_whitened(white, y, 10)
    assert len(evaluated) > 10
    assert len(waited) == len(evaluated) + 3  # the number of samples, the start, the loss
