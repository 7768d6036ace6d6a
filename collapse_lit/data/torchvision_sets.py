"""torchvision's labelled data sets, read from the root folder or downloaded into it."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torchvision import datasets

from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.errors import UserError

# The files that torchvision expects below the root.
TORCHVISION_SETS = {
    "CIFAR10": "cifar-10-batches-py/ (unpack cifar-10-python.tar.gz of www.cs.toronto.edu/~kriz)",
    "CIFAR100": "cifar-100-python/ (unpack cifar-100-python.tar.gz of www.cs.toronto.edu/~kriz)",
    "MNIST": "MNIST/raw/ (the four *-ubyte.gz files of MNIST, unpacked)",
    "FashionMNIST": "FashionMNIST/raw/ (the four *-ubyte.gz files of Fashion-MNIST, unpacked)",
    "SVHN": "train_32x32.mat and test_32x32.mat (from ufldl.stanford.edu/housenumbers)",
}


def load_torchvision(name: str, root: Path) -> LabelledImages:
    """Load one of :data:`TORCHVISION_SETS` from the files in ``root``, or download them there.

    Raises:
        UserError: the files are missing and cannot be downloaded.
    """
    try:
        train, test = _find_or_download(name, root)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"data.source={name}: data.root={root} has no complete copy, and the download failed "
            f"({error}). The folder must contain {TORCHVISION_SETS[name]}. Put the files there, or "
            "run this once on a machine with a network and copy the folder"
        ) from error
    names = getattr(train, "classes", None) or [str(digit) for digit in range(10)]  # SVHN has none
    return LabelledImages(_split(train), _split(test), tuple(names))


def _find_or_download(name: str, root: Path) -> tuple[Any, Any]:
    dataset = getattr(datasets, name)
    splits = [{"split": "train"}, {"split": "test"}]
    if name != "SVHN":
        splits = [{"train": True}, {"train": False}]  # type: ignore[dict-item]
    with _lock(root, name):  # of the processes on a node, only one downloads
        try:
            train, test = (dataset(root, **split, download=False) for split in splits)
        except RuntimeError:  # torchvision's error for missing or damaged files
            train, test = (dataset(root, **split, download=True) for split in splits)
    return train, test


def _lock(root: Path, name: str) -> Any:
    """A lock beside the files; none in a read-only folder."""
    if not root.exists():
        root.mkdir(parents=True, exist_ok=True)
    return FileLock(root / f".{name}.lock") if os.access(root, os.W_OK) else nullcontext()


def _split(dataset: Any) -> Split:
    images = torch.as_tensor(dataset.data)
    if images.ndim == 3:  # MNIST: (N, H, W)
        images = images[:, None]
    elif images.shape[-1] == 3:  # CIFAR: (N, H, W, C)
        images = images.permute(0, 3, 1, 2)
    labels = getattr(dataset, "targets", None)
    labels = dataset.labels if labels is None else labels
    return Split(images.contiguous(), torch.as_tensor(labels).long())
