from types import SimpleNamespace

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from collapse_lit.data import CoarseDataModule, GaussianMixture
from collapse_lit.data.transforms import Augmentation
from collapse_lit.errors import UserError


class Recorder(LightningModule):
    """Trains next to nothing; notes which batches came in which epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 5)
        self.seen = {}

    def training_step(self, batch, batch_idx):
        images, coarse = batch
        self.seen.setdefault(self.current_epoch, []).append(images.clone())
        return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), coarse)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, epochs, augment, resume=False):
    model = Recorder()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(dirpath=folder, save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    data = CoarseDataModule(batch_size=500, augment=augment)
    trainer.fit(model, data, ckpt_path=folder / "last.ckpt" if resume else None)
    return {epoch: torch.stack(batches) for epoch, batches in model.seen.items()}


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning")  # resuming is meant
@pytest.mark.parametrize("augment", ["crop", "resized_crop+flip"])
def test_lightning_sets_the_epoch_and_a_resumed_run_goes_on_with_the_next(tmp_path, augment):
    whole = fit(tmp_path / "whole", 4, augment)
    assert [len(batches) for batches in whole.values()] == [2] * 4  # 1297 // 500
    assert not whole[0].equal(whole[1])
    first = fit(tmp_path / "halves", 2, augment)
    halves = first | fit(tmp_path / "halves", 4, augment, resume=True)
    assert halves.keys() == whole.keys()
    assert all(halves[epoch].equal(whole[epoch]) for epoch in whole)


def test_what_the_model_needs_is_known_before_setup():
    data = CoarseDataModule(num_coarse=3)
    assert data.num_coarse == 3
    assert data.image_shape == (1, 8, 8)
    assert data.hierarchy.coarse_names == ("0+3+6+9", "1+4+7", "2+5+8")
    vectors = CoarseDataModule("gaussian", gaussian=GaussianMixture(dim=20, per_class=3))
    assert vectors.image_shape == (20,)
    assert next(iter(vectors.train_dataloader()))[0].shape == (30, 20)


def test_training_batches_hold_coarse_labels_and_clean_ones_all():
    data = CoarseDataModule(batch_size=100)
    images, coarse = next(iter(data.train_dataloader()))
    assert images.shape == (100, 1, 8, 8)
    assert coarse.max() == 4
    clean = data.clean_dataloaders()
    assert list(clean) == ["train", "test"]
    for name, split in (("train", data.labelled.train), ("test", data.labelled.test)):
        batches = list(clean[name])
        coarse, fine, index = (torch.cat(column) for column in list(zip(*batches, strict=True))[1:])
        assert index.equal(torch.arange(len(split.labels)))
        assert fine.equal(split.labels)
        assert coarse.equal(split.labels % 5)


def test_clean_images_are_normalised_by_the_training_set_and_not_augmented():
    data = CoarseDataModule(augment="crop")
    shown = {
        name: torch.cat([batch[0] for batch in loader])
        for name, loader in data.clean_dataloaders().items()
    }
    assert shown["train"].mean().item() == pytest.approx(0, abs=1e-5)
    assert shown["train"].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    pixels = data.labelled.train.images.double()
    expected = (data.labelled.test.images - pixels.mean()) / pixels.std(correction=0)
    torch.testing.assert_close(shown["test"], expected.float(), rtol=0, atol=1e-5)


def test_training_does_not_depend_on_fine_labels():
    """Shuffling fine labels inside each coarse class changes no bit of a training batch."""
    honest, shuffled = (CoarseDataModule(augment="crop+flip", batch_size=200) for _ in range(2))
    fine = shuffled.labelled.train.labels
    other_half = (fine + 5 * torch.randint(0, 2, fine.shape)) % 10
    assert not other_half.equal(fine)
    fine.copy_(other_half)
    batches = zip(honest.train_dataloader(), shuffled.train_dataloader(), strict=True)
    for (images, coarse), (images_too, coarse_too) in batches:
        assert images.equal(images_too)
        assert coarse.equal(coarse_too)


def test_shuffled_coarse_labels_are_a_permutation_and_measuring_sees_the_true_ones():
    plain, shuffled, again, other = (
        CoarseDataModule(shuffle_coarse=shuffle, seed=seed)
        for shuffle, seed in ((False, 0), (True, 0), (True, 0), (True, 1))
    )
    true, taught = plain.train_dataloader().coarse, shuffled.train_dataloader().coarse
    assert taught.bincount().equal(true.bincount())
    assert (taught == true).float().mean().item() == pytest.approx(0.2, abs=0.05)
    assert taught.equal(again.train_dataloader().coarse)
    assert not taught.equal(other.train_dataloader().coarse)
    for name, loader in shuffled.clean_dataloaders().items():
        assert loader.coarse.equal(plain.clean_dataloaders()[name].coarse)


def test_ranks_of_a_trainer_get_their_shares():
    shown, trained = [], []
    for rank in range(2):
        data = CoarseDataModule(batch_size=100)
        data.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=2,
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        shown += [i for *_, index in data.clean_dataloaders()["train"] for i in index.tolist()]
        trained.append(torch.cat([images for images, _ in data.train_dataloader()]))
    assert sorted(shown) == list(range(1297))
    assert trained[0].shape == trained[1].shape == (600, 1, 8, 8)  # 1297 // 2 // 100 batches
    assert not trained[0].equal(trained[1])


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ("none", Augmentation()),
        ("crop", Augmentation(pad=1)),
        ("crop+flip", Augmentation(pad=1, flip=True)),
        ("crop+flip+cutout", Augmentation(pad=1, flip=True, hole=2)),
        ("resized_crop", Augmentation(resized=(8, 8))),
        ("resized_crop+flip", Augmentation(resized=(8, 8), flip=True)),
    ],
)
def test_the_option_names_the_augmentation(augment, expected):
    assert CoarseDataModule(augment=augment).train_dataloader().augmentation == expected


def test_random_split_makes_a_null_model():
    data = CoarseDataModule(split=2, coarse="parents")
    assert data.num_coarse == 10
    assert data.hierarchy.coarse_names == tuple("0123456789")
    original = CoarseDataModule().labelled
    for split, whole in (
        (data.labelled.train, original.train),
        (data.labelled.test, original.test),
    ):
        assert data.hierarchy.coarse(split.labels).equal(whole.labels)
        halves = split.labels.bincount().view(10, 2)
        assert (halves[:, 0] - halves[:, 1]).abs().max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 1}, r"data\.batch_size=1: must be at least 2"),
        ({"split": 0}, r"data\.split=0: must be at least 1"),
        ({"seed": -1}, r"data\.seed=-1: must be at least 0"),
        ({"num_coarse": 11}, r"data\.num_coarse=11"),
        ({"source": "gaussian", "augment": "crop"}, r"data\.augment='crop' needs images"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        CoarseDataModule(**arguments).train_dataloader()


def test_the_signature_is_a_command_line():
    parser = ArgumentParser()
    parser.add_class_arguments(CoarseDataModule, "data")
    groups = "{even: [0, 2, 4, 6, 8], odd: [1, 3, 5, 7, 9]}"
    data = parser.instantiate(parser.parse_args(["--data.coarse", groups])).data
    assert data.hierarchy.coarse_names == ("even", "odd")
    data = parser.instantiate(
        parser.parse_args(["--data.source=gaussian", "--data.gaussian.dim=20"])
    ).data
    assert data.image_shape == (20,)
