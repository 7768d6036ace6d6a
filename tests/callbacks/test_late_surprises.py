"""Surprises during training give the right value, or nan with one warning; training continues."""

import itertools
import math
import warnings
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
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, Sampler, Subset, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.callbacks.shares import share_of
from collapse_lit.errors import UserError
from collapse_lit.measure import neural_collapse

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
X, COARSE, FINE = tensors()


def by_hand(net: nn.Module) -> Any:
    return pytest.approx(nc1_by_hand(net, X, COARSE), rel=1e-6)


def test_the_head_of_an_averaged_network_is_averaged_too() -> None:
    monitor, net = CollapseMonitor(loaders=clean), Net()
    fit([monitor, EMAWeightAveraging(decay=0.99)], net=net, max_epochs=3)
    with torch.no_grad():
        features = net.body(X).relu()
    expected = neural_collapse(features, COARSE, 2, net.head.weight.data, net.head.bias.data)
    for key in ("nc3", "nc4"):
        assert monitor.values[f"collapse/{key}"] == pytest.approx(expected[key], rel=1e-5)


@pytest.mark.parametrize("monitor_first", [True, False])
def test_averages_are_those_of_this_epoch_wherever_the_callback_stands(monitor_first) -> None:
    ema = EMAWeightAveraging(decay=0.5, update_every_n_steps=0, update_starting_at_epoch=0)
    seen = []

    class Watching(CollapseMonitor):
        def measure(self, splits, group):
            seen.append(
                {key: value.clone() for key, value in splits["train"].last.__dict__.items()}
            )
            return super().measure(splits, group)

    monitor, net = Watching(loaders=clean), Net()
    averages = []

    class Averages(L.Callback):
        def on_train_batch_start(
            self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx == 0 and trainer.current_epoch:
                averages.append(ema._average_model.module.head.weight.detach().clone())

    order = [monitor, ema] if monitor_first else [ema, monitor]
    fit([*order, Averages()], net=net, max_epochs=3)
    assert len(averages) == 2
    for one, average in zip(seen, averages, strict=False):
        assert torch.equal(one["weight"], average)


def test_what_comes_after_in_place_is_not_what_went_in() -> None:
    net, monitor = Net(), CollapseMonitor("head.2", layers=["head.0"], loaders=clean)
    net.head = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    fit([monitor], net=net)
    expected = nc1_by_hand(net, X, COARSE, body=lambda x: net.head[0](net.body(x).relu()))
    assert monitor.values["collapse_layers/head.0/nc1"] == pytest.approx(expected, rel=1e-6)


class Stream(IterableDataset):
    def __init__(self, n: int, seed: int = 0, forever: bool = False) -> None:
        self.rows, self.forever = list(zip(*tensors(n, seed)[:2], strict=True)), forever

    def __iter__(self):
        return itertools.cycle(self.rows) if self.forever else iter(self.rows)


def test_a_validation_stream_is_read_to_its_own_end() -> None:
    monitor, net = CollapseMonitor(), Net()
    train = DataLoader(TensorDataset(X[:48], COARSE[:48]), batch_size=16)
    fit([monitor], train, DataLoader(Stream(160, seed=1), batch_size=16), net)
    x, y, _ = tensors(160, 1)
    assert monitor.values["collapse_test/nc1"] == pytest.approx(nc1_by_hand(net, x, y), rel=1e-6)


def test_endless_data_end_where_training_does() -> None:
    class Endless(Sampler):
        def __iter__(self):
            return itertools.cycle(range(80))

        def __len__(self) -> int:
            return 80

    monitor, net = CollapseMonitor(), Net()
    stream = DataLoader(Stream(80, forever=True), batch_size=16)
    fit([monitor], stream, net=net, max_epochs=-1, max_steps=5)
    assert monitor.values["collapse/nc1"] == by_hand(net)
    share = share_of(DataLoader(TensorDataset(X, COARSE), batch_size=16, sampler=Endless()), 0, 1)
    assert share.positions.tolist() == list(range(80))


@pytest.mark.parametrize("third", ["an index", "a value that training lacks"])
def test_a_third_item_of_the_test_data_that_disagrees_leaves_the_training_measures(third) -> None:
    x, y, f = tensors(40, 1)
    other = torch.arange(40) if third == "an index" else torch.where(torch.arange(40) == 0, 9, f)
    monitor, recovery, net = CollapseMonitor(), RecoveryMonitor(), Net()
    train = DataLoader(TensorDataset(X, COARSE, FINE), batch_size=16)
    fit([monitor, recovery], train, DataLoader(TensorDataset(x, y, other), batch_size=40), net)
    assert monitor.values["collapse_fine/nc1"] == pytest.approx(nc1_by_hand(net, X, FINE), rel=1e-6)
    if third == "an index":
        assert math.isnan(recovery.values.get("recovery/clp_test", math.nan))
    else:
        assert recovery.values["recovery/probe_test"] > 0.5
    assert recovery.values["recovery/acc"] > 0.5


def test_a_hook_that_augments_in_training_mode_is_told_otherwise() -> None:
    class Bare(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            noise = 5 * torch.randn_like(batch[0])
            return [batch[0] + noise if self.training else batch[0], batch[1]]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    net, monitor = Bare(), CollapseMonitor("net.2", loaders=clean)
    fit([monitor], net=net)
    expected = nc1_by_hand(net, X, COARSE, body=lambda x: net.net[:2](x))
    assert monitor.values["collapse/nc1"] == pytest.approx(expected, rel=1e-6)


class Squeezing(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu().squeeze())


class Failing(TensorDataset):
    """A sample that cannot be read, once training has begun."""

    reads = 0

    def __getitem__(self, index: int) -> Any:
        type(self).reads += 1
        if type(self).reads > 200 and index == 70:
            raise OSError("gone")
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("net", "loaders", "said"),
    [
        (
            Squeezing,
            lambda: {"train": DataLoader(TensorDataset(*(t[:33] for t in tensors())), 16)},
            "for 1 samples",
        ),
        (Net, lambda: {"train": DataLoader(Failing(X, COARSE), 16)}, "gone"),
    ],
)
def test_a_failure_under_way_is_nan_and_training_goes_on(net, loaders, said) -> None:
    Failing.reads, monitor, network = 0, CollapseMonitor(loaders=loaders), net()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = fit([monitor], net=network, max_epochs=4)
    assert trainer.current_epoch == 4
    told = [str(w.message) for w in caught if "logging nan" in str(w.message)]
    assert len(told) == 1
    assert said in told[0]
    assert math.isnan(monitor.values["collapse/nc1"])
    assert math.isnan(trainer.callback_metrics["collapse/nc1"])


def test_a_network_that_the_batch_does_not_fit_is_refused_before_the_first_batch() -> None:
    class Scaled(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            raise AssertionError("it was trained")

    pixels = TensorDataset((X.sigmoid() * 255).to(torch.uint8), COARSE)
    with pytest.raises(UserError, match=r"cannot call the network on the first batch.*batch="):
        fit([CollapseMonitor()], DataLoader(pixels, batch_size=16), net=Scaled())


def test_what_the_network_logs_is_of_training_alone() -> None:
    class Logging(Net):
        def forward(self, x: Tensor) -> Tensor:
            self.log("mean", x.mean(), on_epoch=True, on_step=False)
            return super().forward(x)

    monitor, net = (
        CollapseMonitor(loaders=lambda: {"train": DataLoader(TensorDataset(X + 9, COARSE), 80)}),
        Logging(),
    )
    trainer = fit([monitor], net=net, max_epochs=1)
    assert float(trainer.callback_metrics["mean"]) == pytest.approx(float(X.mean()), rel=1e-5)
    assert math.isfinite(monitor.values["collapse/nc1"])


def test_an_empty_validation_set_is_left_out() -> None:
    monitor, net = CollapseMonitor(), Net()
    empty = DataLoader(Subset(TensorDataset(X, COARSE), []), batch_size=4)
    with pytest.warns(UserWarning, match="Total length of"):
        fit([monitor], validation=empty, net=net)
    assert monitor.values["collapse/nc1"] == by_hand(net)


class Plateau(Net):
    interval = "epoch"

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        watched = {"scheduler": scheduler, "monitor": "collapse/nc1", "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": watched}


@pytest.mark.parametrize(
    ("every", "callbacks", "options", "said"),
    [
        (3, [], {}, "ReduceLROnPlateau reads collapse/nc1"),
        (
            1,
            [EarlyStopping("collapse/nc1")],
            {"val_check_interval": 0.5},
            "check_on_train_epoch_end",
        ),
        (
            1,
            [ModelCheckpoint(monitor="collapse/nc1")],
            {"val_check_interval": 0.5},
            "save_on_train_epoch_end",
        ),
    ],
)
def test_who_watches_a_key_has_to_look_after_it_is_measured(
    every, callbacks, options, said
) -> None:
    net = Plateau() if not callbacks else Net()
    options |= {"enable_checkpointing": True} if callbacks else {}
    monitor = CollapseMonitor(loaders=clean, every_n_epochs=every)
    with pytest.raises(UserError, match=said):
        fit([monitor, *callbacks], validation=validation_data(), net=net, **options)


def test_a_learning_rate_may_follow_a_key() -> None:
    monitor = CollapseMonitor(loaders=clean)
    trainer = fit([monitor], net=Plateau(), max_epochs=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.1


def test_a_data_module_without_training_data_in_validate_is_measured_in_part() -> None:
    class OnlyInFit(L.LightningDataModule):
        def setup(self, stage: str) -> None:
            if stage == "fit":
                self.train = training_data()

        def train_dataloader(self) -> DataLoader:
            return self.train

        def val_dataloader(self) -> DataLoader:
            return validation_data()

    monitor = CollapseMonitor()
    with pytest.warns(UserWarning, match="the training data are not measured"):
        make_trainer(monitor).validate(Net(), datamodule=OnlyInFit(), verbose=False)
    assert math.isfinite(monitor.values["collapse_test/nc1"])


def test_data_of_an_earlier_fit_are_not_those_of_this_one() -> None:
    class Clean(L.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return training_data()

        def clean_dataloaders(self) -> dict[str, DataLoader]:
            return clean()

    monitor, net = CollapseMonitor(), Net()
    trainer = make_trainer(monitor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(net, datamodule=Clean())
    x, y, _ = tensors(60, seed=7)
    trainer.fit_loop.max_epochs = 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(net, DataLoader(TensorDataset(x, y), batch_size=20))
    assert monitor.values["collapse/nc1"] == pytest.approx(nc1_by_hand(net, x, y), rel=1e-6)
