"""Random boxes of a batch: torchvision's distribution and torchvision's pixels."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import hflip, resized_crop

from collapse_lit.data.resized_crop import RATIO, SCALE, draw_boxes, enlarge_boxes
from collapse_lit.data.transforms import Augmentation

CPU = torch.device("cpu")


def boxes(n, height, width, seed=0):
    return draw_boxes(n, height, width, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 50), (4, 100)])
def test_boxes_have_the_distribution_of_torchvision(height, width) -> None:
    """The last shape is so long that most tries fail, and the central box is taken."""
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(3000)])
    ours = boxes(3000, height, width).T.numpy()
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.01
    areas = [sizes[:, 2] * sizes[:, 3] for sizes in (ours, theirs)]
    assert ks_2samp(*areas).pvalue > 0.01


def test_boxes_lie_inside_the_image() -> None:
    top, left, height, width = boxes(5000, 20, 50)
    assert (torch.stack([top, left]) >= 0).all()
    assert (torch.stack([height, width]) > 0).all()
    assert (top + height).max() == 20
    assert (left + width).max() == 50


def test_a_box_by_hand() -> None:
    """The lower right quarter of a 4 × 4 image; the pixel beside it has no part in it."""
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 2:, 2:] = torch.tensor([[0.0, 4.0], [8.0, 12.0]])
    image[0, 0, 1] = 99.0
    box = torch.tensor([[2], [2], [2], [2]])
    plain = enlarge_boxes(image, box, torch.tensor([False]))
    expected = torch.tensor([[0.0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]])
    torch.testing.assert_close(plain[0, 0], expected)
    mirrored = enlarge_boxes(image, box, torch.tensor([True]))
    torch.testing.assert_close(mirrored, plain.flip(-1))


@pytest.mark.parametrize("antialias", [True, False])
def test_pixels_are_those_of_torchvision(antialias) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 24, 30), dtype=torch.uint8, generator=generator)
    flip = torch.rand(40, generator=generator) < 0.5
    found = boxes(40, 24, 30)
    batch = enlarge_boxes(images, found, flip)
    assert batch.dtype == torch.uint8
    for i, box in enumerate(found.T.tolist()):
        one = resized_crop(images[i].float(), *box, [24, 30], antialias=antialias).round()
        one = hflip(one) if flip[i] else one
        assert (batch[i] - one).abs().max() <= 1  # halves may be rounded to either side


def test_an_augmentation_draws_anew_each_epoch_and_the_same_again() -> None:
    images = torch.randint(0, 256, (12, 3, 16, 16), dtype=torch.uint8)
    index = torch.tensor([7, 2, 9])

    def augmented(epoch, index=index, flip=True):
        draw = Augmentation(resized=(16, 16), flip=flip).draw(12, 5, epoch, CPU)
        return draw(images[index], index)

    assert augmented(3).equal(augmented(3))
    assert not augmented(3).equal(augmented(4))
    alone = torch.cat([augmented(3, index[i : i + 1]) for i in range(3)])
    assert augmented(3).equal(alone)  # whatever the batch, so also on any number of devices
    assert augmented(3).equal(augmented(3, flip=False)) is False


def test_no_batch_copies_numbers_to_its_device(monkeypatch) -> None:
    """Such a copy makes the host wait for a GPU."""
    images = torch.ones(6, 3, 8, 10, dtype=torch.uint8)
    augment = Augmentation(resized=(8, 10), flip=True).draw(6, 0, 0, CPU)
    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, None)
    assert (augment(images, torch.arange(6)) == 1).all()


def test_every_tensor_of_a_batch_is_on_its_device() -> None:
    """Tensors without values that claim to be on a GPU refuse to meet one of the CPU."""
    with FakeTensorMode():
        images = torch.empty(6, 3, 8, 10, dtype=torch.uint8, device="cuda")
        box = torch.empty(4, 6, dtype=torch.int64, device="cuda")
        found = enlarge_boxes(images, box, torch.empty(6, dtype=torch.bool, device="cuda"))
    assert (found.device.type, found.dtype, found.shape) == ("cuda", torch.uint8, (6, 3, 8, 10))
