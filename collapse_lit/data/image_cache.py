"""What is kept of a folder of images: where it lies, when it is out of date, and by whom it is
made.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from collapse_lit.data.image_files import Listing
from collapse_lit.data.transforms import channel_statistics
from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import write_whole

CACHE_FORMAT = 2  # part of the cache key: increase it when decoding changes


@dataclass(frozen=True)
class Contents:
    """What one set of images holds, as the last check of its files found it.

    Attributes:
        key: depends on the files' names, sizes and times, and on the image size.
        classes: names of the classes, in the order of their labels.
        counts: number of images of each class; images are ordered by class.
    """

    key: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, listing: Listing, image_size: int | None) -> "Contents":
        """Check the files; this reads the size and time of each."""
        counts = torch.tensor(listing.labels).bincount(minlength=len(listing.classes))
        return cls(cache_key(listing, image_size), listing.classes, tuple(counts.tolist()))

    @property
    def labels(self) -> Tensor:
        """(N,) int64 class of each image."""
        return torch.arange(len(self.counts)).repeat_interleave(torch.tensor(self.counts))

    def write(self, path: Path) -> None:
        """Keep it for ranks that do not check the files."""
        write_whole(path, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> "Contents | None":
        """What an earlier check found; None if there was none, or the file is broken."""
        try:
            kept = json.loads(path.read_text())
            return cls(kept["key"], tuple(kept["classes"]), tuple(kept["counts"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def cache_key(listing: Listing, image_size: int | None) -> str:
    """A key that depends on the files' names, sizes and times, and on the image size."""
    digest = hashlib.sha256(f"{CACHE_FORMAT} {image_size}".encode())
    above = len(bytes(listing.folder)) + 1  # of each path; relative_to would take half of the time
    for path in listing.files:
        stat = path.stat()
        digest.update(b"\n" + bytes(path)[above:])
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


def make_once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a cache file, unless it exists; of parallel processes, one makes it and the others wait.

    Raises:
        UserError: the file cannot be written.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                make(path)
    except OSError as error:
        raise UserError(f"cannot keep the decoded images in {path}: {error}") from error


def cached_statistics(path: Path, images: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`channel_statistics` of images (N, C, H, W) uint8, kept in a file if it can be
    written.
    """

    def make(path: Path) -> None:
        rows = [part.tolist() for part in channel_statistics(images)]
        write_whole(path, json.dumps(rows).encode())

    try:
        make_once(path, make)
        mean, std = torch.tensor(json.loads(path.read_text()), dtype=torch.float64)
    except (OSError, ValueError, UserError):
        return channel_statistics(images)
    return mean, std
