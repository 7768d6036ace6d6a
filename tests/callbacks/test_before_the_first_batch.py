"""No surprise ends training: mistakes are reported before the first batch."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from anyones import Net, clean, fit, nc1_by_hand, tensors, training_data, validation_data
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.errors import UserError
from collapse_lit.measure.collapse.measures import names

X, COARSE, FINE = tensors()
ALL = names()


class Counted(Net):
    """Counts its training batches; ``parts`` takes a batch apart for its own training."""

    def __init__(self, parts: Callable[[Any], Any] = lambda batch: batch[:2]) -> None:
        super().__init__()
        self.parts, self.batches = parts, 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.batches += 1
        x, y = self.parts(batch)
        return F.cross_entropy(self(x), y)


def rows(*columns: Any) -> DataLoader:
    return DataLoader(list(zip(*columns, strict=True)), batch_size=16)


def dictionaries(**columns: Tensor) -> DataLoader:
    keys = list(columns)
    return DataLoader(
        [dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        batch_size=16,
    )


def expected(net: nn.Module) -> Any:
    return pytest.approx(nc1_by_hand(net, X, COARSE), rel=1e-6)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (dictionaries(x=X, y=COARSE), lambda b: (b["x"], b["y"])),
        (dictionaries(pixel_values=X, labels=COARSE), lambda b: (b["pixel_values"], b["labels"])),
        (dictionaries(image=X, label=COARSE, other=X), lambda b: (b["image"], b["label"])),
        (rows(X, COARSE[:, None]), lambda b: (b[0], b[1][:, 0])),
        (rows(X, F.one_hot(COARSE, 2).float()), lambda b: (b[0], b[1])),
        (rows(X, COARSE.bool()), lambda b: (b[0], b[1].long())),
        (rows(X, COARSE.float()), lambda b: (b[0], b[1].long())),
        (rows(X, COARSE, [f"{i}.png" for i in range(80)]), lambda b: b[:2]),
        (rows(X, COARSE.to(torch.uint8), FINE), lambda b: (b[0], b[1].long())),
    ],
)
def test_batches_of_anybodys_are_taken_apart(data: DataLoader, parts: Any) -> None:
    monitor, recovery, net = CollapseMonitor(), RecoveryMonitor(k=2), Counted(parts)
    fit([monitor, recovery], data, net=net)
    assert monitor.values["collapse/nc1"] == expected(net)
    assert recovery.recovery.k == (2, 2)


def test_ignored_labels_are_left_out() -> None:
    ignored = torch.where(torch.arange(80) % 10 == 0, -1, COARSE)

    class Ignoring(Net):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self(batch[0]), batch[1], ignore_index=-1)

    monitor, recovery, net = CollapseMonitor(), RecoveryMonitor(k=2), Ignoring()
    fit([monitor, recovery], rows(X, ignored), net=net)
    kept = ignored >= 0
    by_hand = nc1_by_hand(net, X[kept], COARSE[kept])
    assert monitor.values["collapse/nc1"] == pytest.approx(by_hand, rel=1e-6)
    assert len(recovery.recovery.ids) == 72


def test_the_user_says_how_a_batch_is_taken_apart() -> None:
    class Named(Counted):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(image * mask)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self(batch["a"], batch["b"]), batch["c"])

    def parts(batch: Any) -> Any:
        return {"image": batch["a"], "mask": batch["b"]}, batch["c"], batch["d"]

    net = Named()
    monitor, recovery = CollapseMonitor(batch=parts), RecoveryMonitor(batch=parts)
    fit([monitor, recovery], dictionaries(a=X, b=torch.ones_like(X), c=COARSE, d=FINE), net=net)
    assert monitor.values["collapse/nc1"] == expected(net)
    assert monitor.values["collapse_fine/nc1"] == pytest.approx(nc1_by_hand(net, X, FINE), rel=1e-6)
    assert "recovery/acc" in recovery.values


@pytest.mark.parametrize(
    ("monitor", "data", "said"),
    [
        (CollapseMonitor("fc"), None, "no layer 'fc'; its layers include body, head"),
        (CollapseMonitor(layers=["bdy"]), None, "no layer 'bdy'"),
        (CollapseMonitor("unused"), None, "'unused' is never called"),
        (CollapseMonitor(), dictionaries(a=X, b=COARSE), "the keys a, b.*batch=lambda"),
        (CollapseMonitor(), rows(X, torch.rand(80)), "not whole numbers"),
        (CollapseMonitor(), rows(X, torch.rand(80, 2)), "shape .16, 2."),
        (CollapseMonitor(), rows(X, COARSE + 5), "label 6, but the layer has 2 outputs"),
        (CollapseMonitor(batch=lambda b: b[0]), None, "batch= returned"),
        (CollapseMonitor(loaders=lambda: []), None, "loaders= must return a dictionary"),
        (CollapseMonitor(loaders=lambda: {"train": iter([])}), None, "read only once"),
        (CollapseMonitor(loaders=lambda: {"Train": 1, "val": 2}), None, "the key 'Train', 'val'"),
        (CollapseMonitor(batch=lambda b: b["x"]), None, "batch= failed on a list of 3"),
        (RecoveryMonitor(), rows(X, COARSE), "'given' needs fine labels"),
        (RecoveryMonitor(), rows(X, COARSE, torch.rand(80)), "'given' needs fine labels"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_first_batch(
    monitor: L.Callback, data: Any, said: str
) -> None:
    net = Counted(lambda b: (b[0], b[1]) if not isinstance(b, dict) else (b["a"], b["b"]))
    net.unused = nn.Linear(2, 2)
    with pytest.raises(UserError, match=said):
        fit([monitor], data, net=net)
    assert net.batches == 0


def test_options_that_are_functions_are_not_called_by_the_user() -> None:
    with pytest.raises(UserError, match=r"pass the function itself, loaders=clean"):
        CollapseMonitor(loaders=clean())


class Stream(IterableDataset):
    """As many samples as the training set, or ever more of them."""

    def __init__(self, forever: bool = False) -> None:
        self.forever = forever

    def __iter__(self):
        while True:
            yield from zip(X, COARSE, strict=True)
            if not self.forever:
                return


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"a": training_data()}, {}),
        (CombinedLoader([training_data()], "max_size"), {}),
        (DataLoader(Stream(), batch_size=16), {}),
        (DataLoader(Stream(forever=True), batch_size=16), {"limit_train_batches": 5}),
    ],
)
def test_loaders_that_lightning_takes(data: Any, options: dict[str, int]) -> None:
    def parts(batch: Any) -> Any:
        batch = batch["a"] if isinstance(batch, dict) else batch
        return batch[0] if isinstance(batch[0], (list, tuple)) else batch[:2]

    monitor, net = CollapseMonitor(), Counted(lambda batch: parts(batch)[:2])
    fit([monitor], data, net=net, **options)
    assert monitor.values["collapse/nc1"] == expected(net)


def test_one_of_several_training_loaders_has_to_be_named() -> None:
    net = Counted(lambda batch: batch["a"][:2])
    two = {"a": training_data(), "b": training_data()}
    with pytest.raises(UserError, match="2 train loaders; one is needed: pass loaders="):
        fit([CollapseMonitor()], two, net=net)
    assert net.batches == 0
    monitor = CollapseMonitor(loaders=lambda: {"train": two["a"]})
    fit([monitor], two, net=net)
    assert monitor.values["collapse/nc1"] == expected(net)


def test_the_first_of_several_validation_loaders_is_the_test_set() -> None:
    monitor, net = CollapseMonitor(), Net()
    fit([monitor], validation={"a": validation_data(), "b": clean()["train"]}, net=net)
    x, y, _ = tensors(40, 1)
    assert monitor.values["collapse_test/nc1"] == pytest.approx(nc1_by_hand(net, x, y), rel=1e-6)


def watched(net: L.LightningModule, train: DataLoader, test: DataLoader | None = None) -> Any:
    """Monitor and warnings of a training."""
    monitor = CollapseMonitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit([monitor], train, test, net)
    return monitor, [str(w.message) for w in caught if "logging nan" in str(w.message)]


def test_a_class_that_the_validation_set_lacks_leaves_the_training_measures() -> None:
    x, y, _ = tensors(40, 1)
    net = Net()
    monitor, told = watched(net, rows(X, COARSE), rows(x[y == 0], y[y == 0]))
    assert told == ["CollapseMonitor: test data: no samples of class 1; logging nan"]
    assert monitor.values["collapse/nc1"] == expected(net)
    assert all(math.isnan(monitor.values[f"collapse_test/{key}"]) for key in ALL)
    with torch.no_grad():
        right = (net(x).argmax(1) == y)[y == 0].double().mean()
    assert monitor.values["test/acc_coarse"] == pytest.approx(float(right))


def test_a_class_that_the_training_set_lacks_is_no_class_of_the_test_set() -> None:
    y2, f2 = COARSE[:40].clone(), FINE[:40].clone()
    y2[:4], f2[:4] = 2, 4
    for head in (nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 3), nn.Identity())):
        monitor, recovery, net = CollapseMonitor(), RecoveryMonitor(), Net()
        net.head = head
        with pytest.warns(UserWarning, match="class 2 is not in the training data"):
            fit([monitor, recovery], rows(X, COARSE, FINE), rows(X[:40], y2, f2), net)
        assert monitor.values["collapse/nc1"] == expected(net)
        assert math.isnan(monitor.values["collapse_test/nc1"])
        assert 0 < recovery.values["recovery/clp_test"] <= 0.9
        assert recovery.values["recovery/chance"] == pytest.approx(0.9 / 2)


def test_outputs_that_no_label_asks_for_are_left_out() -> None:
    monitor, net = CollapseMonitor(), Net(outputs=10)
    fit([monitor], rows(X, 3 * COARSE + 2), net=net)
    assert monitor.values["collapse/nc1"] == expected(net)
    assert math.isfinite(monitor.values["collapse/nc3"])


def test_a_class_of_one_sample_has_one_cluster() -> None:
    recovery = RecoveryMonitor(k=2)
    with pytest.warns(UserWarning, match=r"more clusters than there are samples .class 1 has 1."):
        fit([recovery], rows(X, torch.eye(80)[5].long()))
    assert recovery.recovery.k == (2, 1)


def test_a_monitored_key_is_never_missing() -> None:
    class Broken(Net):
        def __init__(self) -> None:
            super().__init__()
            self.body.weight.data.fill_(torch.nan)

    monitor = CollapseMonitor()
    with pytest.warns(UserWarning, match="logging nan"):
        trainer = fit([monitor], rows(X, COARSE), validation_data(), Broken())
    logged = trainer.callback_metrics
    for key in ALL:
        assert math.isnan(logged[f"collapse/{key}"]), key
        assert math.isnan(logged[f"collapse_test/{key}"]), key


def test_a_checkpoint_may_ask_for_a_key_that_is_measured_later(tmp_path) -> None:
    best = ModelCheckpoint(tmp_path, monitor="collapse/nc1", mode="min")
    fit(
        [CollapseMonitor(loaders=clean, every_n_epochs=3), best],
        max_epochs=4,
        enable_checkpointing=True,
    )
    assert math.isfinite(best.best_model_score)


def test_early_stopping_on_a_key_that_is_measured_later_is_refused() -> None:
    net = Counted()
    stopping = EarlyStopping("collapse/nc1")
    with pytest.raises(UserError, match=r"EarlyStopping reads collapse/nc1.*every_n_epochs=1"):
        fit([CollapseMonitor(loaders=clean, every_n_epochs=2), stopping], net=net)
    assert net.batches == 0


class Stopping(L.Callback):
    """Stops after three epochs, said by a callback that comes after the monitors."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch >= 2


@pytest.mark.parametrize(
    ("options", "more", "last"),
    [
        ({"max_epochs": -1, "max_steps": 12}, [], 2),
        ({"max_epochs": -1, "max_steps": 15}, [], 2),
        ({"max_epochs": 50}, [Stopping()], 2),
        ({"max_epochs": 10**6}, [Timer({"seconds": 1})], None),
    ],
)
def test_the_last_epoch_is_measured_however_training_ends(tmp_path, options, more, last) -> None:
    monitor, net = CollapseMonitor(loaders=clean, every_n_epochs=10**5), Net()
    trainer = fit([monitor, *more], net=net, logger=CSVLogger(tmp_path), **options)
    assert monitor.values["collapse/nc1"] == expected(net)
    assert float(trainer.callback_metrics["collapse/nc1"]) == pytest.approx(
        monitor.values["collapse/nc1"]
    )
    assert monitor.measured_epoch == trainer.current_epoch - 1
    if last is not None:
        assert monitor.measured_epoch == last
    metrics = next(tmp_path.rglob("metrics.csv")).read_text().splitlines()
    column = metrics[0].split(",").index("collapse/nc1")
    logged = [row.split(",")[column] for row in metrics[1:] if row.split(",")[column]]
    assert [float(value) for value in logged] == [pytest.approx(monitor.values["collapse/nc1"])]
