"""Tiny files in the formats that torchvision reads; nothing here touches a network."""

import pickle
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from collapse_lit.data.torchvision_sets import load_torchvision
from collapse_lit.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def any_checksum(monkeypatch):
    for module in (datasets.cifar, datasets.svhn):
        monkeypatch.setattr(module, "check_integrity", lambda *args: True)


def write_cifar(folder, files, label_key, meta_file, meta_key, names):
    """Two images a file; the image i of all files has red i, green 100 + i and blue 200 + i."""
    folder.mkdir()
    for number, file in enumerate(files):
        rows = np.zeros((2, 3, 32, 32), dtype=np.uint8)
        rows += np.array([0, 100, 200], dtype=np.uint8)[:, None, None]
        rows += np.arange(2 * number, 2 * number + 2, dtype=np.uint8)[:, None, None, None]
        entry = {"data": rows.reshape(2, -1), label_key: [number, number + 1]}
        (folder / file).write_bytes(pickle.dumps(entry))
    (folder / meta_file).write_bytes(pickle.dumps({meta_key: names}))


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize(
    ("name", "folder", "files", "keys"),
    [
        (
            "CIFAR10",
            "cifar-10-batches-py",
            [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"],
            ("labels", "batches.meta", "label_names"),
        ),
        (
            "CIFAR100",
            "cifar-100-python",
            ["train", "test"],
            ("fine_labels", "meta", "fine_label_names"),
        ),
    ],
)
def test_cifar(tmp_path, name, folder, files, keys):
    write_cifar(tmp_path / folder, files, *keys, names=["ant", "bee", "cat"])
    data = load_torchvision(name, tmp_path)
    n = 2 * (len(files) - 1)
    assert data.train.images.shape == (n, 3, 32, 32)
    assert data.train.images[:, :, 0, 0].tolist() == [[i, 100 + i, 200 + i] for i in range(n)]
    assert data.train.labels[:2].tolist() == [0, 1]
    assert data.test.labels.tolist() == [len(files) - 1, len(files)]
    assert data.fine_names == ("ant", "bee", "cat")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_mnist(tmp_path, name):
    raw = tmp_path / name / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 3), ("t10k", 2)):
        pixels = np.arange(n * 28 * 28) % 256
        header = np.array([0x803, n, 28, 28], dtype=">i4").tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            header + pixels.astype(np.uint8).tobytes()
        )
        header = np.array([0x801, n], dtype=">i4").tobytes()
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(header + bytes(range(5, 5 + n)))
    data = load_torchvision(name, tmp_path)
    assert data.train.images.shape == (3, 1, 28, 28)
    assert data.train.images[0].flatten()[:3].tolist() == [0, 1, 2]
    assert data.train.labels.tolist() == [5, 6, 7]
    assert data.test.labels.tolist() == [5, 6]
    assert len(data.fine_names) == 10


@pytest.mark.usefixtures("any_checksum")
def test_svhn(tmp_path):
    for split, n in (("train", 4), ("test", 2)):
        images = np.zeros((32, 32, 3, n), dtype=np.uint8)  # SVHN keeps the sample last
        images[:, :, 1] = np.arange(n)
        labels = np.array([[10], [1], [2], [3]][:n], dtype=np.uint8)  # and calls the digit 0 ten
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": labels})
    data = load_torchvision("SVHN", tmp_path)
    assert data.train.images[:, :, 0, 0].tolist() == [[0, i, 0] for i in range(4)]
    assert data.train.labels.tolist() == [0, 1, 2, 3]
    assert data.fine_names == tuple("0123456789")


@pytest.mark.parametrize("name", ["CIFAR10", "MNIST", "SVHN"])
def test_missing_files_and_no_network_say_what_to_do(tmp_path, name, capsys):
    with pytest.raises(UserError, match=f"data.source={name}: .* has no complete copy") as error:
        load_torchvision(name, tmp_path / "data")
    assert str(tmp_path / "data") in str(error.value)
    assert "The folder must contain " in str(error.value)


def test_processes_that_start_at_once_download_once(tmp_path, monkeypatch):
    downloads = []

    class SlowDownload:
        classes = ("ant", "bee")
        data = np.zeros((2, 4, 4, 3), dtype=np.uint8)
        targets = (0, 1)

        def __init__(self, root, train, download):
            if download and not (root / "done").exists():
                downloads.append(threading.get_ident())
                time.sleep(0.2)
                (root / "done").touch()
            elif not (root / "done").exists():
                raise RuntimeError("not found")

    monkeypatch.setattr(datasets, "CIFAR10", SlowDownload)
    with ThreadPoolExecutor(3) as processes:
        loaded = list(processes.map(lambda _: load_torchvision("CIFAR10", tmp_path), range(3)))
    assert len(downloads) == 1
    assert all(data.train.labels.equal(torch.tensor([0, 1])) for data in loaded)
