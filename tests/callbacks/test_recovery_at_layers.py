"""Recovery at further layers: the measures of the features, by path, in order of depth."""

import math
import warnings

import pytest
import torch
from anyones import Net, clean, fit, tensors
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.errors import UserError
from collapse_lit.features import Features
from collapse_lit.measure import fit_probe, neural_collapse, recover, register_clusterer
from collapse_lit.measure.recovery.clusterers import nearest_mean

LAYERS = ["norm", "body", "first"]  # from the deepest to the shallowest


class Deep(Net):
    """Three layers; the last of them gives the features."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.first = nn.LayerNorm(6), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.body(self.first(x))))


def test_a_layer_is_measured_like_features() -> None:
    monitor = RecoveryMonitor(layers=["first"], loaders=clean)
    net = fit([monitor], net=Deep()).lightning_module
    (x, coarse, fine), (test_x, _, test_fine) = tensors(), tensors(40, 1)
    with torch.no_grad():
        first, test_first = net.first(x), net.first(test_x)
    found = recover(first, coarse, 2)
    assert torch.equal(monitor.at_layers["first"].ids, found.ids)
    values = {key.removeprefix("recovery_layers/first/"): v for key, v in monitor.values.items()}
    assert values["separation"] == pytest.approx(found.separation, rel=1e-5)
    assert values["stability"] == found.stability
    assert values["nc1_fine"] == pytest.approx(neural_collapse(first, fine)["nc1"], rel=1e-5)
    # two clusters in each class, so the better of two matchings
    right = [(found.ids[coarse == c] % 2 == fine[coarse == c] // 2).float().mean() for c in (0, 1)]
    assert values["acc"] == pytest.approx(sum(max(r, 1 - r) for r in map(float, right)) / 2)
    probe = fit_probe(first, fine, 4)
    assert values["probe_test"] == float((probe.predict(test_first) == test_fine).double().mean())


def test_the_layer_that_gives_the_features_has_their_values() -> None:
    recovery = RecoveryMonitor(layers=["norm"], loaders=clean)
    collapse = CollapseMonitor(layers=["norm"], loaders=clean)
    fit([collapse, recovery], net=Deep())
    assert torch.equal(recovery.at_layers["norm"].ids, recovery.recovery.ids)
    for key in ("acc", "clp_test", "probe_test", "separation", "stability"):
        at_layer = recovery.values[f"recovery_layers/norm/{key}"]
        assert at_layer == recovery.values[f"recovery/{key}"], key
    for key, of_features in (("nc1_fine", "nc1"), ("explained", "explained")):
        at_layer = recovery.values[f"recovery_layers/norm/{key}"]
        assert at_layer == pytest.approx(collapse.values[f"collapse_fine/{of_features}"]), key
    assert collapse.values["collapse_layers/norm/nc1"] == pytest.approx(
        collapse.values["collapse/nc1"]
    )


def test_layers_are_logged_in_order_of_depth() -> None:
    recovery = RecoveryMonitor(layers=LAYERS, loaders=clean)
    collapse = CollapseMonitor(layers=LAYERS, loaders=clean)
    trainer = fit([collapse, recovery], net=Deep())
    of_recovery = [key for key in recovery.values if key.endswith("/acc") and "layers" in key]
    assert of_recovery == [f"recovery_layers/{path}/acc" for path in ("first", "body", "norm")]
    of_collapse = [key for key in collapse.values if "layers" in key]
    assert of_collapse == [f"collapse_layers/{path}/nc1" for path in ("first", "body", "norm")]
    assert set(recovery.values) == set(recovery.promised)
    assert recovery.values.keys() <= trainer.callback_metrics.keys()


def test_each_monitor_logs_its_own_layers_only() -> None:
    recovery = RecoveryMonitor(layers=["first"], loaders=clean)
    fit([CollapseMonitor(layers=["norm"], loaders=clean), recovery], net=Deep())
    assert {key.split("/")[1] for key in recovery.values if "layers" in key} == {"first"}


def test_without_fine_labels_layers_have_label_free_scores() -> None:
    data = DataLoader(TensorDataset(*tensors()[:2]), batch_size=16)
    monitor = RecoveryMonitor(k=2, layers=["first"], loaders=lambda: {"train": data})
    fit([monitor], data, net=Deep())
    keys = {key for key in monitor.values if "layers" in key}
    assert keys == {f"recovery_layers/first/{score}" for score in ("separation", "stability")}


def test_an_unknown_layer_is_named_before_training() -> None:
    with pytest.raises(UserError, match=r"no layer 'fist'; its layers include body, head, norm"):
        fit([RecoveryMonitor(layers=["fist"], loaders=clean)], net=Deep())


def test_a_layer_that_cannot_be_measured_is_nan_and_the_features_are_not() -> None:
    class Overflows(Deep):
        def forward(self, x: Tensor) -> Tensor:
            self.first(x)  # the features do not depend on it
            return self.head(self.norm(self.body(x)))

        def on_train_epoch_end(self) -> None:
            with torch.no_grad():
                self.first.weight.fill_(torch.nan)

    monitor = RecoveryMonitor(layers=["body", "first"], loaders=clean)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit([monitor], net=Overflows())
    told = [str(w.message) for w in caught if "logging nan" in str(w.message)]
    assert len(told) == 1
    assert "layer 'first'" in told[0]
    broken = {key for key, value in monitor.values.items() if value != value}
    assert broken == {key for key in monitor.values if key.startswith("recovery_layers/first/")}


def a_layer_fails(rank: int, group: dist.ProcessGroup) -> tuple[dict[str, float], list[str]]:
    """The values and warnings of this rank where one layer cannot be clustered on rank 1."""

    @register_clusterer("brittle")
    def brittle(points, start, k, everywhere, seed):
        if rank == 1 and points.shape[1] == 3:
            raise RuntimeError("out of order")
        return nearest_mean(points, start, k, everywhere, seed)

    x, coarse, fine = (part[rank::2] for part in tensors())
    layers = {"broken": x[:, :3], "whole": x}
    features = Features(x, coarse, fine, torch.arange(rank, 2 * len(x), 2), layers=layers)
    monitor = RecoveryMonitor(layers=list(layers), space="raw/brittle")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        values = monitor._of_layers({"train": features}, [2, 2], group)
    return values, [str(one.message) for one in told if "layer" in str(one.message)]


@pytest.mark.ddp
def test_a_layer_that_fails_on_one_rank_fails_on_all_and_the_next_is_measured(run_on_ranks) -> None:
    """Else this rank leaves and the others wait for it."""
    (first, heard), (second, said) = run_on_ranks(a_layer_fails, 2)
    assert math.isnan(first["recovery_layers/broken/acc"])
    assert first["recovery_layers/whole/acc"] == second["recovery_layers/whole/acc"] > 0.5
    assert "rank 1 could not cluster its coarse classes" in heard[0]
    assert "RuntimeError('out of order')" in said[0]
