import warnings

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.errors import UserError
from collapse_lit.features import further_views
from collapse_lit.measure import fit_probe, neural_collapse, recover


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data(with_fine: bool = True) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    fine = torch.arange(80) % 4
    x = torch.randn(80, 4, generator=generator) + 3 * torch.eye(4)[fine]
    return TensorDataset(x, fine % 2, fine) if with_fine else TensorDataset(x, fine % 2)


def train(
    callbacks: list[L.Callback],
    dataset: TensorDataset,
    epochs: int = 2,
    network: type[Net] = Net,
) -> L.Trainer:
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=callbacks,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        trainer.fit(network(), DataLoader(dataset, batch_size=16, shuffle=True))
    return trainer


def loaders(dataset: TensorDataset):
    return lambda: {"train": DataLoader(dataset, batch_size=7)}


def test_what_is_logged_is_the_measure_of_the_trained_network() -> None:
    dataset = data()
    monitor = CollapseMonitor(loaders=loaders(dataset))
    trainer = train([monitor], dataset)
    net = trainer.lightning_module
    with torch.no_grad():
        features = net.body(dataset.tensors[0]).relu()
        right = (net(dataset.tensors[0]).argmax(1) == dataset.tensors[1]).float().mean()
    expected = neural_collapse(
        features, dataset.tensors[1], 2, net.head.weight.detach(), net.head.bias.detach()
    )
    assert monitor.values["collapse/nc1"] == pytest.approx(expected["nc1"], rel=1e-6)
    assert monitor.values["collapse/nc3"] == pytest.approx(expected["nc3"], rel=1e-6)
    assert monitor.values["train/acc_coarse"] == pytest.approx(float(right))
    assert float(trainer.callback_metrics["collapse/nc1"]) == pytest.approx(expected["nc1"])


def test_one_clean_pass_serves_all_monitors_of_an_epoch() -> None:
    dataset, passes = data(), []

    def counted():
        passes.append(1)
        return {"train": DataLoader(dataset, batch_size=80)}

    train([CollapseMonitor(loaders=counted), RecoveryMonitor(loaders=counted)], dataset, epochs=3)
    assert len(passes) == 1 + 3  # the first batches alone before training, all of them after it


def test_every_n_epochs_and_the_last_one() -> None:
    dataset, measured = data(), []

    class Counting(CollapseMonitor):
        def measure(self, *arguments):
            measured.append(len(measured))
            return {}

    train([Counting(loaders=loaders(dataset), every_n_epochs=3)], dataset, epochs=7)
    assert len(measured) == 3  # after 3, 6 and 7 epochs


def test_layers_give_nc1_by_depth() -> None:
    dataset = data()
    monitor = CollapseMonitor(layers=["body"], loaders=loaders(dataset))
    trainer = train([monitor], dataset)
    with torch.no_grad():
        body = trainer.lightning_module.body(dataset.tensors[0])
    expected = neural_collapse(body, dataset.tensors[1], 2)["nc1"]
    assert monitor.values["collapse_layers/body/nc1"] == pytest.approx(expected, rel=1e-6)


def test_further_views_steady_the_recovery_and_leave_the_collapse_alone() -> None:
    class ImageNet(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1))

    x, coarse, fine = data().tensors
    images = TensorDataset(x.view(80, 1, 2, 2), coarse, fine)
    values = {}
    for more in (False, True):
        both = {"train": DataLoader(images, batch_size=7), "test": DataLoader(images, batch_size=7)}
        collapse = CollapseMonitor(loaders=lambda both=both: both)
        recovery = RecoveryMonitor(mirror=more, shift=more, loaders=collapse.loaders)
        net = train([collapse, recovery], images, network=ImageNet).lightning_module
        values[more] = collapse.values
    image = images.tensors[0]
    seen = (image, *(view(image) for view in further_views(mirror=True, shift=True)["test"]))
    with torch.no_grad():
        plain, mirrored, *shifted = (net.body(view.flatten(1)).relu() for view in seen)
    expected = recover((plain + mirrored) / 2, coarse, [2, 2], num_coarse=2, seed=0)
    assert values[False] == values[True]
    assert torch.equal(recovery.recovery.ids, expected.ids)
    # a batch of 7 and one of 80 differ in the last bit of their products
    assert recovery.values["recovery/separation"] == pytest.approx(expected.separation, rel=1e-5)
    assert expected.separation != recover(plain, coarse, [2, 2], num_coarse=2, seed=0).separation
    probe = fit_probe(torch.cat([plain, mirrored]), fine.repeat(2), 4)
    both = probe.predict((plain + mirrored) / 2) == fine
    all_six = probe.predict(torch.stack([plain, mirrored, *shifted]).mean(0)) == fine
    assert recovery.values["recovery/probe_test"] == float(all_six.double().mean())
    assert all_six.sum() != both.sum()


def test_without_fine_labels_only_label_free_scores_are_logged() -> None:
    dataset = data(with_fine=False)
    monitor = RecoveryMonitor(k=2, loaders=loaders(dataset))
    collapse = CollapseMonitor(loaders=loaders(dataset))
    train([collapse, monitor], dataset)
    scores = {"separation", "stability", "silhouette", "distinct"}
    assert set(monitor.values) == {f"recovery/{score}" for score in scores}
    assert not [key for key in collapse.values if key.startswith("collapse_fine")]


def test_held_out_accuracy_inside_is_of_the_samples_put_into_their_coarse_class() -> None:
    """Each test image comes twice, with either coarse label: one of the two is predicted."""
    x, coarse, fine = data().tensors
    both = {
        "train": DataLoader(TensorDataset(x, coarse, fine), batch_size=80),
        "test": DataLoader(
            TensorDataset(torch.cat([x, x]), *(torch.cat([y, y.roll(1)]) for y in (coarse, fine))),
            batch_size=80,
        ),
    }
    monitor = RecoveryMonitor(loaders=lambda: both)
    train([monitor], data())
    values = monitor.values
    assert values["recovery/chance"] == 0.5
    assert values["recovery/clp_test"] <= 0.5
    assert values["recovery/clp_test_inside"] == pytest.approx(2 * values["recovery/clp_test"])


def test_given_k_without_fine_labels_is_a_mistake_of_the_user() -> None:
    dataset = data(with_fine=False)
    with pytest.raises(UserError, match=r"recovery\.k: 'given' needs fine labels"):
        train([RecoveryMonitor(loaders=loaders(dataset))], dataset)


def test_features_that_cannot_be_measured_are_nan_with_one_warning() -> None:
    dataset = data()

    class Broken(Net):
        def on_train_epoch_end(self) -> None:
            with torch.no_grad():
                self.body.weight.fill_(torch.nan)

    monitor = CollapseMonitor(loaders=loaders(dataset))
    trainer = L.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[monitor],
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(Broken(), DataLoader(dataset, batch_size=16, shuffle=True))
    assert trainer.current_epoch == 4
    told = [str(w.message) for w in caught if "logging nan" in str(w.message)]
    assert len(told) == 1
    assert "CollapseMonitor" in told[0]
    assert torch.isnan(trainer.callback_metrics["collapse/nc1"])


def test_a_training_set_of_unknown_augmentation_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="pass loaders="):
        train([CollapseMonitor()], data(), epochs=1)
