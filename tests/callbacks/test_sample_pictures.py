"""Pictures, class names and paths of the samples of any data set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from collapse_lit.callbacks.sample_pictures import class_names_of, paths_of, picture, pictures_of


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    for number, name in enumerate(["cat", "cat", "dog", "dog"]):
        (tmp_path / name).mkdir(exist_ok=True)
        pixels = np.full((6, 6, 3), 60 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return ImageFolder(str(tmp_path))


def test_files_of_a_folder_are_found_through_subsets(folder: ImageFolder) -> None:
    loader = DataLoader(Subset(Subset(folder, [3, 2, 0]), [0, 2]))
    found = paths_of(loader, [0, 1])
    assert found is not None
    assert [Path(path).name for path in found] == ["3.png", "0.png"]
    assert class_names_of(loader) == ["cat", "dog"]
    seen = list(pictures_of(loader, [0, 1]))
    assert [image.getpixel((0, 0)) for image in seen] == [(180,) * 3, (0,) * 3]
    assert paths_of(DataLoader(TensorDataset(torch.ones(3))), [0]) is None


def test_an_image_under_any_key_is_found_as_the_monitors_take_batches_apart() -> None:
    samples = [{"pic": torch.full((1, 4, 4), i / 3), "kind": i % 2} for i in range(4)]
    loader = DataLoader(samples, batch_size=2)
    how = lambda batch: (batch["pic"], batch["kind"])  # noqa: E731  # as users write it
    assert list(pictures_of(loader, [0, 3])) == [None, None]
    assert [image.size for image in pictures_of(loader, [0, 3], how)] == [(4, 4), (4, 4)]


def test_only_images_are_pictures() -> None:
    for image in (torch.rand(3, 4, 5), torch.rand(1, 4, 5), torch.rand(4, 5), np.zeros((4, 5, 3))):
        found = picture((image, 0))
        assert found is not None
        assert (found.size, found.mode) == ((5, 4), "RGB")
    for other in (torch.rand(7), torch.rand(2, 4, 5), "name", None):
        assert picture((other, 0)) is None
