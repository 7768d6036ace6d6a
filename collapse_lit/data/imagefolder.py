"""The user's own images, one folder per class: decoded once, then memory-mapped."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from filelock import FileLock
from PIL import ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

from collapse_lit.data.image_files import Listing, list_images
from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.data.pictures import open_picture
from collapse_lit.errors import UserError

CACHE_FORMAT = 2  # part of the cache key: increase it when decoding changes
BLOCK = 256  # images that the threads decode at once


def load_imagefolder(root: Path, image_size: int | None = None) -> LabelledImages:
    """Load root/train/CLASS/* and root/test/CLASS/* (or root/val/CLASS/*) as RGB.

    The first call decodes all images and caches one uint8 array per set in
    root/.cache-collapse-lit, or in the user's cache folder if root is read-only. The cache is
    rebuilt when a file is added, removed or changed. It may be deleted at any time.

    Args:
        root: the folder.
        image_size: resize the shorter side to this many pixels and crop the centre square.

    Raises:
        UserError: a folder or an image is missing or broken, the two sets have different classes,
            or images differ in size and ``image_size`` is not given.
    """
    test_folder = root / "test" if (root / "test").is_dir() else root / "val"
    if not (root / "train").is_dir() or not test_folder.is_dir():
        raise UserError(
            f"data.root={root}: expected the folders {root / 'train'} and {root / 'test'} "
            f"(or {root / 'val'}), each with one folder of images per class"
        )
    train, test = list_images(root / "train"), list_images(test_folder)
    if train.classes != test.classes:
        raise UserError(
            f"data.root={root}: training and test set must have the same classes, but they differ; "
            f"only in {train.folder.name}: {_only_in(train, test)}; "
            f"only in {test.folder.name}: {_only_in(test, train)}"
        )
    train_images, test_images = (cached_images(root, s, image_size) for s in (train, test))
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"data.root={root}: training images are {_size(train_images)}, test images "
            f"are {_size(test_images)}; set data.image_size to bring them to one size"
        )
    return LabelledImages(
        train=Split(train_images, torch.tensor(train.labels)),
        test=Split(test_images, torch.tensor(test.labels)),
        fine_names=train.classes,
    )


def cached_images(root: Path, listing: Listing, image_size: int | None) -> Tensor:
    """Images of one set, (N, 3, H, W) uint8, memory-mapped; decoded on the first call."""
    path = cache_path(root, f"{listing.folder.name}-{cache_key(listing, image_size)}.npy")
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):  # parallel processes decode only once
                if not path.exists():
                    write_cache(path, listing, image_size)
        except OSError as error:
            raise UserError(
                f"cannot keep the decoded images of {root} in {path}: {error}"
            ) from error
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with catch_warnings():  # torch warns about read-only arrays, but nothing writes to this one
        simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def cache_key(listing: Listing, image_size: int | None) -> str:
    """A key that depends on the files' names, sizes and times, and on the image size."""
    digest = hashlib.sha256(f"{CACHE_FORMAT} {image_size}".encode())
    for path in listing.files:
        stat = path.stat()
        digest.update(b"\n" + os.fsencode(path.relative_to(listing.folder)))
        digest.update(f" {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def cache_path(root: Path, file_name: str) -> Path:
    """The cache file beside the images, or in the user's cache folder if that is read-only."""
    beside = root / ".cache-collapse-lit" / file_name
    folder = beside.parent if beside.parent.exists() else root
    if beside.exists() or os.access(folder, os.W_OK):
        return beside
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (
        caches / "collapse-lit" / hashlib.sha256(bytes(root.resolve())).hexdigest()[:16] / file_name
    )


def write_cache(path: Path, listing: Listing, image_size: int | None) -> None:
    """Decode all images into one .npy file, written completely or not at all."""
    partial_file = path.with_suffix(".partial")
    try:
        with partial_file.open("wb") as file:
            _write_images(file, listing.files, image_size)
        partial_file.replace(path)
    finally:
        partial_file.unlink(missing_ok=True)


def _write_images(file: BinaryIO, files: Sequence[Path], image_size: int | None) -> None:
    first = decode(files[0], image_size)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(files), *first.shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for path, image in zip(files, _decode_all(files, image_size), strict=True):
        if image.shape != first.shape:
            raise UserError(
                f"images differ in size: {files[0]} is {_size(first)}, {path} is {_size(image)}; "
                "set data.image_size to bring them to one size"
            )
        file.write(image.tobytes())


def _decode_all(files: Sequence[Path], image_size: int | None) -> Iterator[np.ndarray]:
    """Decode images in order, by threads: Pillow releases the interpreter lock."""
    starts = track(
        range(0, len(files), BLOCK),
        description=f"decoding {len(files):,} images",
        console=Console(stderr=True),
    )
    with ThreadPoolExecutor() as threads:
        for start in starts:
            block = files[start : start + BLOCK]
            yield from threads.map(partial(decode, image_size=image_size), block)


def decode(path: Path, image_size: int | None) -> np.ndarray:
    """One image as RGB, (3, H, W) uint8.

    Raises:
        UserError: Pillow cannot read the file; the message names it.
    """
    try:
        rgb = open_picture(path, draft=image_size)
        if image_size is not None:
            rgb = ImageOps.fit(rgb, (image_size, image_size))
        return np.asarray(rgb).transpose(2, 0, 1)
    except Exception as error:  # Pillow raises many error types for a broken file
        raise UserError(f"cannot read the image {path}: {error}") from error


def _only_in(listing: Listing, other: Listing) -> str:
    return ", ".join(sorted(set(listing.classes) - set(other.classes))) or "none"


def _size(image: np.ndarray | Tensor) -> str:
    return f"{image.shape[-1]}×{image.shape[-2]}"
