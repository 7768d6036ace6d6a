"""The logged values belong to the right network, weights and data, in any project."""

import math
from typing import Any

import lightning as L
import pytest
import torch
from anyones import (
    Net,
    clean,
    fit,
    make_trainer,
    nc1_by_hand,
    tensors,
    training_data,
    validation_data,
)
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
X, COARSE, FINE = tensors()


def nc1(monitor: CollapseMonitor) -> Any:
    return monitor.values["collapse/nc1"]


def approx_by_hand(net: nn.Module) -> Any:
    return pytest.approx(nc1_by_hand(net, X, COARSE), rel=1e-6)


def test_validate_measures_the_weights_that_it_is_given() -> None:
    monitor, net = CollapseMonitor(loaders=clean), Net()
    first = {key: value.clone() for key, value in net.state_dict().items()}
    trainer = fit([monitor], validation=validation_data(), net=net, max_epochs=4)
    fitted = nc1(monitor)
    net.load_state_dict(first)
    trainer.validate(net, validation_data(), verbose=False)
    assert nc1(monitor) == approx_by_hand(net)
    assert nc1(monitor) != pytest.approx(fitted, rel=1e-2)
    other = Net()
    trainer.validate(other, validation_data(), verbose=False)
    assert nc1(monitor) == approx_by_hand(other)


def test_validate_reads_data_that_have_changed() -> None:
    monitor, net = CollapseMonitor(loaders=None), Net()
    trainer = fit([monitor], validation=validation_data(), net=net)
    x, y, _ = tensors(40, seed=5)
    loader = DataLoader(TensorDataset(x, y), batch_size=40)
    trainer.validate(net, loader, verbose=False)
    with torch.no_grad():
        right = (net(x).argmax(1) == y).double().mean()
    assert monitor.values["test/acc_coarse"] == pytest.approx(float(right))
    assert monitor.values["collapse_test/nc1"] == pytest.approx(nc1_by_hand(net, x, y), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*SWA:DeprecationWarning")
@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_weights_are_measured_where_they_are_what_is_kept(averaging: str) -> None:
    monitor, net = CollapseMonitor(loaders=clean), Net()
    callback = {
        "ema": EMAWeightAveraging(decay=0.9),
        "swa": StochasticWeightAveraging(swa_lrs=0.5, swa_epoch_start=1),
    }[averaging]
    trainer = fit([monitor, callback], net=net, max_epochs=4)
    assert nc1(monitor) == approx_by_hand(net)
    assert float(trainer.callback_metrics["collapse/nc1"]) == pytest.approx(nc1(monitor))
    assert monitor.measured_epoch == 3


def test_a_split_by_samplers_is_measured_as_it_is_split() -> None:
    whole = TensorDataset(X, COARSE)
    one, other = torch.arange(60), torch.arange(60, 80)
    train = DataLoader(whole, batch_size=16, sampler=SubsetRandomSampler(one.tolist()))
    test = DataLoader(whole, batch_size=16, sampler=SubsetRandomSampler(other.tolist()))
    for loaders in (None, lambda: {"train": train, "test": test}):
        monitor, net = CollapseMonitor(loaders=loaders), Net()
        fit([monitor], train, test, net)
        assert nc1(monitor) == pytest.approx(nc1_by_hand(net, X[one], COARSE[one]), rel=1e-6)
        expected = nc1_by_hand(net, X[other], COARSE[other])
        assert monitor.values["collapse_test/nc1"] == pytest.approx(expected, rel=1e-6)


def test_what_a_sampler_draws_is_measured_and_the_training_draws_the_same() -> None:
    """Weights of 0 leave the first twenty samples out; drawn twice, a sample counts twice."""
    weights = (torch.arange(80) >= 20).double()

    def train(*callbacks: L.Callback) -> Net:
        generator = torch.Generator().manual_seed(3)
        sampler = WeightedRandomSampler(weights.tolist(), 200, generator=generator)
        net = Net()
        fit(list(callbacks), DataLoader(TensorDataset(X, COARSE), 16, sampler=sampler), net=net)
        return net

    torch.manual_seed(0)
    alone = train()
    torch.manual_seed(0)
    monitor = RecoveryMonitor(k=2)
    watched = train(monitor)
    assert all(map(torch.equal, alone.parameters(), watched.parameters()))
    assert len(monitor.recovery.ids) == 200


@pytest.mark.parametrize("own", [False, True])
def test_a_batch_sampler_decides_what_is_measured(own: bool) -> None:
    class Halves(BatchSampler):
        """A batch sampler of one's own, of every other sample."""

        def __init__(self) -> None:
            pass

        def __iter__(self):
            yield from ([i, i + 2] for i in range(0, 80, 4))

        def __len__(self) -> int:
            return 20

    chosen = torch.tensor([i for batch in Halves() for i in batch]) if own else torch.arange(80)
    sampler = Halves() if own else BatchSampler(RandomSampler(range(80)), 16, drop_last=True)
    labels = (torch.arange(80) // 2) % 2
    monitor, net = CollapseMonitor(), Net()
    fit([monitor], DataLoader(TensorDataset(X, labels), batch_sampler=sampler), net=net)
    assert nc1(monitor) == pytest.approx(nc1_by_hand(net, X[chosen], labels[chosen]), rel=1e-6)


class Opened(TensorDataset):
    """A data set whose workers open something first."""

    opened = False

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        assert self.opened, "worker_init_fn was not called"
        return super().__getitem__(index)


def open_it(worker: int) -> None:
    get_worker_info().dataset.opened = True


def test_workers_start_as_the_users_do() -> None:
    monitor, net = CollapseMonitor(), Net()
    data = DataLoader(Opened(X, COARSE), batch_size=16, num_workers=1, worker_init_fn=open_it)
    fit([monitor], data, net=net, max_epochs=1)
    assert nc1(monitor) == approx_by_hand(net)


def test_batches_pass_through_the_users_own_hooks_as_in_validation() -> None:
    class OnDevice(Net):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            x = batch[0].float() / 255
            return [x + torch.randn_like(x) if self.trainer.training else x, batch[1]]

    pixels = (X.sigmoid() * 255).to(torch.uint8)
    monitor, net = CollapseMonitor(), OnDevice()
    fit([monitor], DataLoader(TensorDataset(pixels, COARSE), batch_size=16), net=net)
    assert nc1(monitor) == pytest.approx(nc1_by_hand(net, pixels / 255, COARSE), rel=1e-6)


@pytest.mark.parametrize("third", ["index", "group across classes", "weight", "path"])
def test_a_third_item_that_can_be_no_fine_label_is_left_alone(third: str) -> None:
    item = {
        "index": torch.arange(80),
        "group across classes": torch.arange(80) // 8,
        "weight": torch.rand(80),
        "path": [f"{i}.png" for i in range(80)],
    }[third]
    rows = [(X[i], COARSE[i], item[i]) for i in range(80)]
    monitor, net = CollapseMonitor(), Net()
    fit([monitor], DataLoader(rows, batch_size=16), net=net)
    assert not [key for key in monitor.values if key.startswith("collapse_fine")]
    assert nc1(monitor) == approx_by_hand(net)


def test_fine_labels_may_be_any_numbers() -> None:
    rows = TensorDataset(X, COARSE, torch.tensor([7, 900_001, 12, 44])[FINE])
    monitor, recovery, net = CollapseMonitor(), RecoveryMonitor(), Net()
    fit([monitor, recovery], DataLoader(rows, batch_size=16), net=net)
    with torch.no_grad():
        expected = nc1_by_hand(net, X, FINE)
    assert monitor.values["collapse_fine/nc1"] == pytest.approx(expected, rel=1e-6)
    assert recovery.values["recovery/acc"] > 0.5


def test_a_layer_called_twice_is_refused() -> None:
    class Twice(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + super().forward(x.flip(1))

    with pytest.raises(UserError, match="'head' is called 2 times"):
        fit([CollapseMonitor(loaders=clean)], net=Twice())


def test_a_head_may_be_called_by_name() -> None:
    class ByName(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(input=self.body(x).relu())

    monitor, net = CollapseMonitor(loaders=clean), ByName()
    fit([monitor], net=net)
    assert nc1(monitor) == approx_by_hand(net)


def test_dropout_before_the_linear_layer_changes_no_measure() -> None:
    net, monitor = Net(), CollapseMonitor(loaders=clean)
    net.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(6, 2))
    fit([monitor], net=net)
    assert math.isfinite(monitor.values["collapse/nc3"])
    with torch.no_grad():
        right = (net.eval()(X).argmax(1) == COARSE).double().mean()
    assert monitor.values["train/acc_coarse"] == pytest.approx(float(right))


def test_a_head_that_is_not_linear_decides_and_has_no_duality() -> None:
    class Cosine(nn.Linear):
        """Logits are cosines: not W h + b, though it is a Linear."""

        def forward(self, h: Tensor) -> Tensor:
            return 5 * F.normalize(h) @ F.normalize(self.weight).T

    net, monitor = Net(), CollapseMonitor(loaders=clean)
    net.head = Cosine(6, 2)
    with pytest.warns(UserWarning, match="'head' is not linear"):
        fit([monitor], net=net)
    assert math.isnan(monitor.values["collapse/nc3"])
    assert nc1(monitor) == approx_by_hand(net)
    with torch.no_grad():
        right = (net(X).argmax(1) == COARSE).double().mean()
    assert monitor.values["train/acc_coarse"] == pytest.approx(float(right))


def test_one_output_tells_two_classes_apart() -> None:
    class OneOutput(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())

    net, monitor = OneOutput(outputs=1), CollapseMonitor(loaders=clean)
    fit([monitor], net=net, max_epochs=3)
    with torch.no_grad():
        features = net.body(X).relu()
        right = ((net(X)[:, 0] > 0).long() == COARSE).double().mean()
        means = torch.stack([features[c == COARSE].double().mean(0) for c in (0, 1)])
        M, w = means - means.mean(0), net.head.weight.double()
        W = torch.cat([-w, w])
    assert float(right) != 0.5
    assert monitor.values["train/acc_coarse"] == pytest.approx(float(right))
    duality = (W / W.norm() - M / M.norm()).norm() ** 2
    assert monitor.values["collapse/nc3"] == pytest.approx(float(duality), rel=1e-5)


def test_two_monitors_do_not_share_a_key() -> None:
    layers = [CollapseMonitor("head", loaders=clean), CollapseMonitor("body", loaders=clean)]
    with pytest.raises(UserError, match=r"2 monitors of type CollapseMonitor.*name="):
        fit(layers)
    named = CollapseMonitor("body", loaders=clean, name="body")
    trainer = fit([CollapseMonitor(loaders=clean), named])
    metrics = trainer.callback_metrics
    assert metrics["body/collapse/nc1"] != metrics["collapse/nc1"]
    assert set(named.values) < set(metrics)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", "bf16-mixed"])
def test_features_are_float32_whatever_the_precision_of_training(precision: str) -> None:
    monitor, net = CollapseMonitor(loaders=clean), Net()
    fit([monitor], net=net, precision=precision)
    exact = Net()
    exact.load_state_dict({key: value.float() for key, value in net.state_dict().items()})
    assert nc1(monitor) == approx_by_hand(exact)


def test_a_compiled_network_is_measured_uncompiled() -> None:
    class Compiled(Net):
        def __init__(self) -> None:
            super().__init__()
            net = nn.Sequential(self.body, nn.ReLU(), self.head)
            self.net = torch.compile(net, backend="eager")

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    torch._dynamo.reset()
    monitor, net = CollapseMonitor("net.2", loaders=clean), Compiled()
    fit([monitor], validation=validation_data(), net=net)
    assert nc1(monitor) == approx_by_hand(net)


def test_a_module_without_a_forward_pass_is_measured_by_the_network_in_it() -> None:
    class Bare(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    net, monitor = Bare(), CollapseMonitor("net.2", layers=["net.0"], loaders=clean)
    fit([monitor], net=net)
    expected = nc1_by_hand(net, X, COARSE, body=lambda x: net.net[:2](x))
    assert nc1(monitor) == pytest.approx(expected, rel=1e-6)
    depth = nc1_by_hand(net, X, COARSE, body=net.net[0])
    assert monitor.values["collapse_layers/net.0/nc1"] == pytest.approx(depth, rel=1e-6)


def test_validate_alone_measures_what_there_is() -> None:
    monitor, net = CollapseMonitor(), Net()
    make_trainer(monitor).validate(net, validation_data(), verbose=False)
    x, y, _ = tensors(40, 1)
    assert monitor.values["collapse_test/nc1"] == pytest.approx(nc1_by_hand(net, x, y), rel=1e-6)
    assert "collapse/nc1" not in monitor.values
    with pytest.raises(
        UserError, match=r"needs training data to cluster, and there are none: pass loaders="
    ):
        make_trainer(RecoveryMonitor(k=2)).validate(net, validation_data(), verbose=False)


def test_the_data_of_a_module_that_makes_its_own_are_measured_in_validate() -> None:
    class Whole(Net):
        def train_dataloader(self) -> DataLoader:
            return training_data()

    monitor, net = CollapseMonitor(), Whole()
    with pytest.warns(UserWarning, match="pass loaders="):
        make_trainer(monitor).validate(net, validation_data(), verbose=False)
    assert nc1(monitor) == approx_by_hand(net)
