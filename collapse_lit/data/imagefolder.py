"""The user's own images, one folder per class: decoded once, then memory-mapped."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from PIL import ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

from collapse_lit.data.image_cache import Contents, cache_path, cached_statistics, make_once
from collapse_lit.data.image_files import list_images
from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.data.pictures import open_picture
from collapse_lit.errors import UserError

BLOCK = 256  # images that the threads decode at once


def load_imagefolder(
    root: Path, image_size: int | None = None, *, check: bool = True
) -> LabelledImages:
    """Load root/train/CLASS/* and root/test/CLASS/* (or root/val/CLASS/*) as RGB.

    The first call decodes all images and caches one uint8 array per set in
    root/.cache-collapse-lit, or in the user's cache folder if root is read-only. The cache is
    rebuilt when a file is added, removed or changed. It may be deleted at any time.

    Args:
        root: the folder.
        image_size: resize the shorter side to this many pixels and crop the centre square.
        check: whether to look for changed files, which reads the size and time of each. Without,
            the cache of the last check is used, if there is one.

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
    folders = (root / "train", test_folder)
    caches = [None if check else last_cache(folder, image_size) for folder in folders]
    train, test = (
        cache or checked_cache(folder, image_size)
        for cache, folder in zip(caches, folders, strict=True)
    )
    if train.holds.classes != test.holds.classes:
        raise UserError(
            f"data.root={root}: training and test set must have the same classes, but they differ; "
            f"only in {train.folder.name}: {_only_in(train, test)}; "
            f"only in {test.folder.name}: {_only_in(test, train)}"
        )
    train_images, test_images = (cached_images(cache, image_size) for cache in (train, test))
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"data.root={root}: training images are {_size(train_images)}, test images "
            f"are {_size(test_images)}; set data.image_size to bring them to one size"
        )
    return LabelledImages(
        train=Split(train_images, train.holds.labels),
        test=Split(test_images, test.holds.labels),
        fine_names=train.holds.classes,
        statistics=cached_statistics(train.path(".statistics.json"), train_images),
        digest=train.holds.key + test.holds.key,
    )


@dataclass(frozen=True)
class SetCache:
    """The cache of one set.

    Attributes:
        folder: the set's folder.
        holds: its classes, and the key of the cache.
        files: its images, to be decoded if the cache is empty.
    """

    folder: Path
    holds: Contents
    files: Sequence[Path] = ()

    def path(self, ending: str) -> Path:
        """A file of the cache, which is out of date when the folder changes."""
        return cache_path(self.folder.parent, f"{self.folder.name}-{self.holds.key}{ending}")


def checked_cache(folder: Path, image_size: int | None) -> SetCache:
    """The cache of a set after a look at each of its files."""
    listing = list_images(folder)
    cache = SetCache(folder, Contents.of(listing, image_size), listing.files)
    path = _contents_path(folder, image_size)
    if Contents.read(path) != cache.holds:
        with suppress(OSError):  # in a folder of someone else's
            path.unlink(missing_ok=True)
    return cache


def last_cache(folder: Path, image_size: int | None) -> SetCache | None:
    """The cache of a set as the last check found it; None without a check or a complete cache."""
    holds = Contents.read(_contents_path(folder, image_size))
    cache = None if holds is None else SetCache(folder, holds)
    return cache if cache is not None and cache.path(".npy").exists() else None


def cached_images(cache: SetCache, image_size: int | None) -> Tensor:
    """Images of one set, (N, 3, H, W) uint8, memory-mapped; decoded on the first call."""
    path, contents = cache.path(".npy"), _contents_path(cache.folder, image_size)
    make_once(path, lambda path: write_cache(path, cache.files, image_size))
    if cache.files:  # checked, and now decoded
        with suppress(UserError):  # only other ranks need it, and they can check the files too
            make_once(contents, cache.holds.write)
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    with catch_warnings():  # torch warns about read-only arrays, but nothing writes to this one
        simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _contents_path(folder: Path, image_size: int | None) -> Path:
    size = "" if image_size is None else f"-{image_size}"
    return cache_path(folder.parent, f"{folder.name}{size}.json")


def write_cache(path: Path, files: Sequence[Path], image_size: int | None) -> None:
    """Decode all images into one .npy file, written completely or not at all."""
    partial_file = path.with_suffix(".partial")
    try:
        with partial_file.open("wb") as file:
            _write_images(file, files, image_size)
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


def _only_in(cache: SetCache, other: SetCache) -> str:
    return ", ".join(sorted(set(cache.holds.classes) - set(other.holds.classes))) or "none"


def _size(image: np.ndarray | Tensor) -> str:
    return f"{image.shape[-1]}×{image.shape[-2]}"
