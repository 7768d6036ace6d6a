import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from collapse_lit.data import imagefolder
from collapse_lit.data.imagefolder import load_imagefolder
from collapse_lit.errors import UserError


def save(path, colour=(0, 0, 0), size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes, three training images and two test images, each of one colour."""
    save(tmp_path / "train/ant/0.png", (10, 20, 30))
    save(tmp_path / "train/ant/1.png", (11, 21, 31))
    save(tmp_path / "train/bee/0.PNG", (12, 22, 32))
    save(tmp_path / "test/ant/0.png", (13, 23, 33))
    save(tmp_path / "test/bee/0.png", (14, 24, 34))
    return tmp_path


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the images that were decoded."""
    paths = []
    decode = imagefolder.decode
    monkeypatch.setattr(
        imagefolder,
        "decode",
        lambda path, image_size: paths.append(path) or decode(path, image_size),
    )
    return paths


def caches(root):
    return sorted(path.name for path in root.rglob("*.npy"))


def test_images_and_labels_by_folder(root):
    (root / "train/.hidden").mkdir()
    (root / "train/ant/notes.txt").write_text("not an image")
    data = load_imagefolder(root)
    assert data.fine_names == ("ant", "bee")
    assert data.train.images.shape == (3, 3, 4, 4)
    assert data.train.images[:, :, 0, 0].tolist() == [[10, 20, 30], [11, 21, 31], [12, 22, 32]]
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.test.images[:, 0, 0, 0].tolist() == [13, 14]
    assert data.test.labels.tolist() == [0, 1]


def test_val_serves_as_test_set(root):
    (root / "test").rename(root / "val")
    assert len(load_imagefolder(root).test.labels) == 2


def test_image_size_resizes_and_keeps_the_centre(root):
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 4:20] = 200  # black, grey, black
    Image.fromarray(wide).save(root / "train/ant/0.png")
    image = load_imagefolder(root, image_size=4).train.images[0]
    assert image.shape == (3, 4, 4)
    assert (image == 200).all()


def test_greyscale_images_become_rgb(root):
    Image.new("L", (4, 4), 77).save(root / "train/ant/0.png")
    assert (load_imagefolder(root).train.images[0] == 77).all()


def test_the_second_start_decodes_nothing(root, decoded):
    first = load_imagefolder(root)
    assert len(decoded) >= 5
    decoded.clear()
    second = load_imagefolder(root)
    assert not decoded
    assert second.train.images.equal(first.train.images)


def test_changed_images_and_another_size_are_decoded_anew(root, decoded):
    load_imagefolder(root)
    decoded.clear()
    save(root / "train/ant/1.png", (99, 0, 0))
    os.utime(root / "train/ant/1.png", (1, 1))
    assert load_imagefolder(root).train.images[1, 0, 0, 0] == 99
    assert load_imagefolder(root, image_size=2).train.images.shape == (3, 3, 2, 2)
    assert root / "test/ant/0.png" in decoded  # for the other size only
    assert len(caches(root)) == 5


def test_starts_at_once_decode_once(root, decoded):
    with ThreadPoolExecutor(3) as processes:
        loaded = list(processes.map(lambda _: load_imagefolder(root), range(3)))
    assert decoded.count(root / "train/bee/0.PNG") == 1
    assert all(data.train.images.equal(loaded[0].train.images) for data in loaded)


def test_a_read_only_folder_is_cached_with_the_user(root, tmp_path_factory, monkeypatch, decoded):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    load_imagefolder(root)
    assert not caches(root)
    assert len(caches(home)) == 2
    decoded.clear()
    load_imagefolder(root)
    assert not decoded


def test_a_broken_image_is_named_and_leaves_no_cache(root):
    (root / "train/bee/1.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"cannot read the image .*train/bee/1\.png"):
        load_imagefolder(root)
    assert not list(root.rglob("*.npy")) + list(root.rglob("*.partial"))


def test_images_of_different_sizes_need_an_image_size(root):
    save(root / "train/bee/1.png", size=(6, 4))
    with pytest.raises(
        UserError, match=r"0\.png is 4×4, .*bee/1\.png is 6×4; set data\.image_size"
    ):
        load_imagefolder(root)


def test_sets_of_different_sizes_need_an_image_size(root):
    for name in ("ant", "bee"):
        save(root / f"test/{name}/0.png", size=(8, 8))
    with pytest.raises(
        UserError, match=r"training images are 4×4, test images are 8×8; set data\."
    ):
        load_imagefolder(root)


def test_different_classes_are_named(root):
    save(root / "test/cat/0.png")
    with pytest.raises(UserError, match="only in train: none; only in test: cat"):
        load_imagefolder(root)


def test_missing_folders_and_empty_classes_are_named(root, tmp_path):
    with pytest.raises(UserError, match=r"expected the folders .*nowhere/train and"):
        load_imagefolder(tmp_path / "nowhere")
    (root / "train/cat").mkdir()
    with pytest.raises(UserError, match="train/cat holds no images"):
        load_imagefolder(root)
