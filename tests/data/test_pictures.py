"""Pictures of every bit depth, and unusual folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collapse_lit.data.image_files import find_images, list_images
from collapse_lit.data.imagefolder import load_imagefolder
from collapse_lit.data.pictures import open_picture
from collapse_lit.errors import UserError


def saved(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "values", "seen"),
    [
        ("sixteen.png", np.array([[0, 257 * 7, 65535]], np.uint16), [0, 7, 255]),
        ("dark.png", np.array([[0, 200, 257]], np.uint16), [0, 1, 1]),
        ("sixteen.tif", np.array([[0, 257 * 7, 65535]], np.uint16), [0, 7, 255]),
        ("wide.tif", np.array([[0, 257 * 9, 65535]], np.int32), [0, 9, 255]),
        ("eight-in-32.tif", np.array([[0, 9, 255]], np.int32), [0, 9, 255]),
        ("unit.tif", np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        ("bytes.tif", np.array([[0, 51, 255]], np.float32), [0, 51, 255]),
        ("eight.png", np.array([[0, 9, 255]], np.uint8), [0, 9, 255]),
    ],
)
def test_pictures_are_scaled_and_never_clipped(
    tmp_path: Path, name: str, values: np.ndarray, seen: list[int]
) -> None:
    picture = open_picture(saved(tmp_path / name, values))
    assert picture.mode == "RGB"
    assert np.asarray(picture)[0].tolist() == [[v] * 3 for v in seen]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0, np.nan]], "NaN or infinite"),
        ([[-1, 0]], "from -1 to 0"),
        ([[0, 1e6]], "from 0 to 1e"),
    ],
)
def test_pictures_on_no_scale_are_refused(tmp_path: Path, values: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_picture(saved(tmp_path / "x.tif", np.array(values, np.float32)))


def test_a_dark_picture_of_sixteen_bits_stays_dark(tmp_path: Path) -> None:
    (tmp_path / "dark.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0, 200, 255, 255]))
    assert np.asarray(open_picture(tmp_path / "dark.pgm"))[0, :, 0].tolist() == [1, 255]
    (tmp_path / "dark.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0, 200, 0, 255]))
    assert np.asarray(open_picture(tmp_path / "dark.pgm"))[0, :, 0].tolist() == [1, 1]


def test_fit_sees_sixteen_bits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for c in "ab":
            saved(tmp_path / split / c / "0.png", np.full((4, 4), 257 * 40, np.uint16))
    assert load_imagefolder(tmp_path).train.images.unique().tolist() == [40]


def test_folders_are_walked_as_people_make_them(tmp_path: Path) -> None:
    grey = np.zeros((2, 2), np.uint8)
    for name in ("real/cat/1.png", "real/cat/.trash/2.png", "real/.cache/3.png", "far/deep/4.png"):
        saved(tmp_path / name, grey)
    (tmp_path / "real/cat/folder.png").mkdir()
    (tmp_path / "real/dog").symlink_to(tmp_path / "far")
    (tmp_path / "real/cat/again").symlink_to(tmp_path / "real")  # leads back up
    listing = list_images(tmp_path / "real")
    assert listing.classes == ("cat", "dog")
    inside = [str(path.relative_to(tmp_path / "real")) for path in listing.files]
    assert "cat/1.png" in inside
    assert "dog/deep/4.png" in inside
    assert not any("trash" in name or "cache" in name for name in inside)
    assert len(inside) < 10

    (tmp_path / "real/cat/gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(UserError, match=r"gone\.jpg is a broken link"):
        list_images(tmp_path / "real")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--images: .* holds no images"):
        find_images(tmp_path / "empty", "--images")


def test_names_that_are_no_utf8_are_written_as_escapes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for c in (b"caf\xe9", b"tea"):
            folder = os.fsdecode(os.fsencode(tmp_path / split) + b"/" + c)
            saved(Path(folder) / "0.png", np.zeros((2, 2), np.uint8))
    data = load_imagefolder(tmp_path)
    assert data.fine_names == (r"caf\xe9", "tea")
