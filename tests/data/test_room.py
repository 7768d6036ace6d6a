"""Images that do not fit are read ahead by threads, and nothing else changes."""

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from collapse_lit.data import CoarseDataModule, room
from collapse_lit.errors import UserError

CPU, MEMORY = torch.device("cpu"), Path("/proc/meminfo")


@pytest.fixture
def root(tmp_path):
    """Twelve training images and four test images of 6 × 6 pixels: 1,728 bytes."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name in ("ant", "bee"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def epoch(root):
    """The batches of one epoch and of a clean pass, and the threads that read rows."""
    readers, read = set(), torch.Tensor.index_select

    def noted(self, dim, index):
        readers.add(threading.current_thread())
        return read(self, dim, index)

    data = CoarseDataModule(
        "imagefolder", root, num_coarse=2, batch_size=4, augment="resized_crop+flip"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "index_select", noted)
        shown = [images for images, _ in data.train_dataloader()]
        for loader in data.clean_dataloaders().values():
            shown += [images for images, *_ in loader]
    return shown, readers - {threading.main_thread()}


def test_batches_that_are_read_ahead_are_those_of_memory(root, monkeypatch, caplog) -> None:
    with caplog.at_level(logging.INFO):
        resident, readers = epoch(root)
        assert not readers
        assert caplog.messages == []
        monkeypatch.setattr(room, "room_on", lambda device: 1727)
        streamed, readers = epoch(root)
    assert readers
    assert len(resident) == len(streamed) == 3 + 2
    assert all(one.equal(other) for one, other in zip(resident, streamed, strict=True))
    (said,) = caplog.messages
    assert said.startswith("The images take 0.0 GB, and at most 0.0 GB of cpu is used for images")


def test_images_that_just_fit_stay(root, monkeypatch) -> None:
    monkeypatch.setattr(room, "room_on", lambda device: 1728)
    _, readers = epoch(root)
    assert not readers


@pytest.mark.skipif(not MEMORY.exists(), reason="this system tells its memory in another way")
def test_the_room_is_half_of_this_machine() -> None:
    kilobytes = int(MEMORY.read_text().split()[1])
    assert room.room_on(CPU) == pytest.approx(kilobytes * 1024 / 2, rel=0.01)


def test_images_that_do_not_fit_are_not_copied_for_a_validation_set(root, monkeypatch) -> None:
    monkeypatch.setattr(room, "room_on", lambda device: 1000)
    data = CoarseDataModule("imagefolder", root, num_coarse=2, validation=3)
    with pytest.raises(UserError, match=r"data\.validation copies .* move images to a folder"):
        data.train_dataloader()
