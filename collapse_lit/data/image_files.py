"""List the image files of a folder in a fixed order; skip hidden files and follow links."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import plain_text


@dataclass(frozen=True)
class Listing:
    """The image files of one set in a fixed order, with their class folders."""

    folder: Path
    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]


def list_images(folder: Path, key: str = "data.root") -> Listing:
    """All images below the class folders of one set, in alphabetical order.

    Args:
        folder: the set's folder.
        key: the option that named the folder, for messages.

    Raises:
        UserError: there are no class folders, or one holds no image.
    """
    folders = class_folders(folder)
    if not folders:
        raise UserError(f"{key}: {folder} holds no class folders; make one folder per class")
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(folders):
        found = find_images(class_folder, key)
        files += found
        labels += [label] * len(found)
    return Listing(folder, files, labels, tuple(class_names(folders)))


def find_images(folder: Path, key: str) -> list[Path]:
    """All images anywhere below a folder, in alphabetical order.

    Hidden files and folders are skipped. Links are followed, but no folder is entered twice on one
    path.

    Raises:
        UserError: there are no images, or one is a broken link or not a file.
    """
    found = sorted(_walk(folder, (), key))
    if not found:
        raise UserError(f"{key}: {folder} holds no images ({', '.join(IMG_EXTENSIONS)})")
    return found


def class_folders(folder: Path) -> list[Path]:
    """The class folders of one set, in alphabetical order, including links to folders."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def class_names(folders: list[Path]) -> list[str]:
    """The class names of these folders."""
    return [plain_text(folder.name) for folder in folders]


def _walk(folder: Path, above: tuple[str, ...], key: str) -> Iterator[Path]:
    here = os.path.realpath(folder)
    if here in above:  # a link to a parent folder
        return
    with os.scandir(folder) as entries:  # knows what an entry is, without a call for each
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, (*above, here), key)
            elif entry.name.lower().endswith(IMG_EXTENSIONS):
                if not entry.is_file():
                    what = "a broken link" if entry.is_symlink() else "not a file"
                    raise UserError(f"{key}: {entry.path} is {what}; repair or remove it")
                yield folder / entry.name
