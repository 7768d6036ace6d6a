"""The image files of a folder: in a fixed order, hidden ones left out, links followed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import plain_text


@dataclass(frozen=True)
class Listing:
    """The images of one set: files in a fixed order and the class folder of each."""

    folder: Path
    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...]


def list_images(folder: Path, key: str = "data.root") -> Listing:
    """All images below the class folders of one set, in alphabetical order.

    Args:
        folder: the set's folder.
        key: the option that named it, for messages.

    Raises:
        UserError: if there are no class folders, or one holds no image.
    """
    folders = class_folders(folder)
    if not folders:
        raise UserError(f"{key}: {folder} holds no class folders")
    files: list[Path] = []
    labels: list[int] = []
    for label, class_folder in enumerate(folders):
        found = find_images(class_folder, key)
        files += found
        labels += [label] * len(found)
    return Listing(folder, files, labels, tuple(class_names(folders)))


def find_images(folder: Path, key: str) -> list[Path]:
    """All images anywhere below a folder, in alphabetical order.

    Hidden files and folders are left out. Links are followed, each folder being entered once on a
    way down.

    Raises:
        UserError: there is none, or one is a link to nothing or no file.
    """
    found = sorted(_walk(folder, ()))
    if not found:
        raise UserError(f"{key}: {folder} holds no images ({', '.join(IMG_EXTENSIONS)})")
    for path in found:
        if not path.is_file():
            what = "a link to nothing" if path.is_symlink() else "no file"
            raise UserError(f"{key}: {path} is {what}; repair or remove it")
    return found


def class_folders(folder: Path) -> list[Path]:
    """The class folders of one set, in alphabetical order; a link to a folder is one."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def class_names(folders: list[Path]) -> list[str]:
    """What the classes of these folders are called."""
    return [plain_text(folder.name) for folder in folders]


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    here = os.path.realpath(folder)
    if here in above:  # a link that leads back up
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, (*above, here))
            elif Path(entry.name).suffix.lower() in IMG_EXTENSIONS:
                yield folder / entry.name
