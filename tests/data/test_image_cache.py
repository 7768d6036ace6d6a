"""File lists and statistics of a folder are made once, by one rank, until its files change."""

import os
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import distributed as dist

from collapse_lit.data import CoarseDataModule, datamodule, image_cache, imagefolder
from collapse_lit.data.imagefolder import last_cache, load_imagefolder
from collapse_lit.data.transforms import channel_statistics
from collapse_lit.errors import UserError


def save(path, grey, side=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (grey, grey, grey)).save(path)


def fill(root, side=4):
    """Three training images and two test images of two classes, each of one grey."""
    for grey, name in enumerate(["train/ant/0", "train/ant/1", "train/bee/0"]):
        save(root / f"{name}.png", 10 + grey, side)
    for grey, name in enumerate(["test/ant/0", "test/bee/0"]):
        save(root / f"{name}.png", 20 + grey, side)
    return root


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "images")


@contextmanager
def noted():
    """Notes whose status is read, which folders are listed, what is decoded and computed."""
    found = SimpleNamespace(stats=[], decoded=[], statistics=[], listed=[])
    stat, decode, scan = Path.stat, imagefolder.decode, os.scandir

    def read_status(path, **options):
        if path.suffix == ".png":
            found.stats.append("/".join(path.parts[-3:]))
        return stat(path, **options)

    def read_image(path, image_size):
        found.decoded.append(path)
        return decode(path, image_size)

    def compute(images):
        found.statistics.append(len(images))
        return channel_statistics(images)

    with (
        mock.patch.object(Path, "stat", read_status),
        mock.patch.object(imagefolder, "decode", read_image),
        mock.patch.object(image_cache, "channel_statistics", compute),
        mock.patch.object(datamodule, "channel_statistics", compute),
        mock.patch.object(os, "scandir", lambda path: found.listed.append(path) or scan(path)),
    ):
        yield found


@pytest.fixture
def work():
    with noted() as found:
        yield found


IMAGES = ["test/ant/0.png", "test/bee/0.png", "train/ant/0.png", "train/ant/1.png"]
IMAGES.append("train/bee/0.png")


def test_the_next_start_reads_the_status_of_each_image_once_and_nothing_else(root, work) -> None:
    load_imagefolder(root)
    assert work.statistics == [3]
    for done in vars(work).values():
        done.clear()
    load_imagefolder(root)
    assert sorted(work.stats) == IMAGES
    assert work.decoded == work.statistics == []


def test_a_start_without_check_looks_at_no_image(root, work) -> None:
    first = load_imagefolder(root)
    for done in vars(work).values():
        done.clear()
    again = load_imagefolder(root, check=False)
    assert work.stats == work.decoded == work.statistics == work.listed == []
    assert again.train.images.equal(first.train.images)
    assert again.test.images.equal(first.test.images)
    assert again.train.labels.tolist() == [0, 0, 1]
    assert again.test.labels.tolist() == [0, 1]
    assert (again.fine_names, again.digest) == (first.fine_names, first.digest)


def test_a_folder_that_is_moved_keeps_its_cache(root, work) -> None:
    load_imagefolder(root)
    work.decoded.clear()
    load_imagefolder(root.rename(root.with_name("moved to another place")))
    assert work.decoded == []


@pytest.mark.parametrize("lost", ["train.json", "train-*.npy", "*"])
def test_a_start_without_check_looks_itself_if_nothing_complete_is_there(root, lost) -> None:
    load_imagefolder(root)
    for path in (root / ".cache-collapse-lit").glob(lost):
        path.unlink()
    data = load_imagefolder(root, check=False)
    assert data.train.images[:, 0, 0, 0].tolist() == [10, 11, 12]


@pytest.mark.parametrize("size", [None, 2])
def test_what_is_out_of_date_is_removed_before_images_are_decoded(root, size, monkeypatch) -> None:
    load_imagefolder(root, size)
    assert last_cache(root / "train", size) is not None
    assert last_cache(root / "train", 3) is None  # of another size
    save(root / "train/ant/2.png", 13)
    write, seen = imagefolder.write_cache, []

    def slow(*args):
        seen.append(last_cache(root / "train", size))
        write(*args)

    monkeypatch.setattr(imagefolder, "write_cache", slow)
    load_imagefolder(root, size)
    assert seen == [None]
    assert last_cache(root / "train", size).holds.counts == (3, 1)


def test_statistics_are_kept_to_the_last_bit_and_used(root, work) -> None:
    data = load_imagefolder(root)
    for found in (data, load_imagefolder(root)):
        for kept, computed in zip(
            found.statistics, channel_statistics(data.train.images), strict=True
        ):
            assert kept.equal(computed)
    work.statistics.clear()
    clean = CoarseDataModule("imagefolder", root, num_coarse=2).clean_dataloaders()["train"]
    (batch,) = clean
    assert batch[0].mean().item() == pytest.approx(0, abs=1e-6)
    assert work.statistics == []


def test_held_out_images_have_no_part_in_the_statistics(root, work) -> None:
    data = CoarseDataModule("imagefolder", root, num_coarse=2, validation=1)
    data.clean_dataloaders()
    assert work.statistics == [3, 2]  # of the folder, and of what is left


def test_statistics_that_cannot_be_kept_or_read_are_computed(root, monkeypatch) -> None:
    expected = load_imagefolder(root).statistics
    (kept,) = root.rglob("*.statistics.json")
    kept.write_text("broken")
    assert load_imagefolder(root).statistics[0].equal(expected[0])
    kept.unlink()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(image_cache, "write_whole", full)
    assert load_imagefolder(root).statistics[0].equal(expected[0])


def rank_of(rank, root):
    """A data module as a rank of two starts with it."""
    rank_zero_only.rank = rank
    data = CoarseDataModule("imagefolder", root, num_coarse=2)
    environment = LightningEnvironment()
    environment.set_world_size(2)
    strategy = DDPStrategy(parallel_devices=[torch.device("cpu")], cluster_environment=environment)
    data.trainer = SimpleNamespace(strategy=strategy)
    return data


def start_at_once(rank, group, root, wider):
    """The ranks read changed folders: rank 1 before rank 0 has looked at them."""
    greys = []
    for folder in (root, wider):
        data = rank_of(rank, folder)
        if rank == 0:
            dist.barrier()
        before = data.labelled.train.images[0, 0, 0, 0].item()
        if rank == 1:
            dist.barrier()
        try:
            data.setup("fit")
            greys.append((before, data.labelled.train.images[0, 0, 0, 0].item()))
        except UserError as error:
            greys.append((before, str(error)))
    data = rank_of(rank, root)  # the next start, with nothing changed
    with noted() as found:
        data.setup("fit")
        next_start = (len(found.stats), len(found.decoded), len(found.statistics))
    return greys, next_start


@pytest.mark.ddp
def test_ranks_that_start_at_once_end_with_the_same_images(root, tmp_path, run_on_ranks) -> None:
    wider = fill(tmp_path / "wider")
    for folder in (root, wider):
        load_imagefolder(folder)
    save(root / "train/ant/0.png", 99)
    fill(wider, side=6)
    for path in [*root.rglob("*.png"), *wider.rglob("*.png")]:
        os.utime(path, (1, 1))
    (first, others), (second, of_second) = run_on_ranks(start_at_once, 2, root, wider)
    assert first[0] == (99, 99)
    assert second[0] == (10, 99)
    assert second[1][0] == 10
    for found in (first, second):  # images of another size make another network: both end
        assert "the images changed while the ranks started" in found[1][1]
    assert others == (5, 0, 0)
    assert of_second == (0, 0, 0)
