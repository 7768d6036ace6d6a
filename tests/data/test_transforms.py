import numpy as np
import pytest
import torch

from collapse_lit.data.transforms import (
    Augmentation,
    channel_statistics,
    crop_and_flip,
    cut_hole,
    normaliser,
)

CPU = torch.device("cpu")


def test_crop_and_flip_one_image_by_hand():
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[None, None]
    top, left = torch.tensor([0]), torch.tensor([1])  # shifts the content down by one
    plain = crop_and_flip(image, 1, top, left, torch.tensor([False]))
    mirrored = crop_and_flip(image, 1, top, left, torch.tensor([True]))
    assert plain[0, 0].tolist() == [[0, 0], [1, 2]]
    assert mirrored[0, 0].tolist() == [[0, 0], [2, 1]]


def test_crop_and_flip_matches_one_image_at_a_time():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (40, 3, 6, 5), dtype=torch.uint8, generator=generator)
    top, left = torch.randint(0, 5, (2, 40), generator=generator)
    flip = torch.rand(40, generator=generator) < 0.5
    batch = crop_and_flip(images, 2, top, left, flip)
    for i in range(40):
        padded = np.pad(images[i].numpy(), ((0, 0), (2, 2), (2, 2)))
        padded = padded[:, :, ::-1] if flip[i] else padded
        expected = padded[:, top[i] : top[i] + 6, left[i] : left[i] + 5]
        assert np.array_equal(batch[i].numpy(), expected)


def test_augmentation_of_a_sample_does_not_depend_on_its_batch():
    images = torch.arange(10 * 64, dtype=torch.int64).view(10, 1, 8, 8) % 251
    draw = Augmentation(pad=1, flip=True).draw(10, 7, 3, CPU)
    order = torch.tensor([4, 9, 0, 7])
    together = draw(images[order], order)
    alone = [draw(images[i : i + 1], torch.tensor([i]))[0] for i in order.tolist()]
    assert together.equal(torch.stack(alone))


def test_augmentation_changes_with_epoch_and_seed_only():
    images = torch.randint(1, 256, (50, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    index = torch.arange(50)

    def augmented(seed, epoch):
        return Augmentation(pad=1, flip=True).draw(50, seed, epoch, CPU)(images, index)

    assert augmented(0, 0).equal(augmented(0, 0))
    assert not augmented(0, 0).equal(augmented(0, 1))
    assert not augmented(0, 0).equal(augmented(1, 0))


def test_augmentation_reaches_every_shift_and_both_sides():
    image = torch.zeros(4000, 1, 8, 8, dtype=torch.uint8)
    image[..., 3, 2] = 1  # one pixel tells shift and side
    found = Augmentation(pad=1, flip=True).draw(4000, 0, 0, CPU)(image, torch.arange(4000))
    rows, columns = found.nonzero()[:, 2:].unbind(1)
    assert set(rows.tolist()) == {2, 3, 4}
    assert set(columns.tolist()) == {1, 2, 3} | {4, 5, 6}
    assert (columns > 3).float().mean().item() == pytest.approx(0.5, abs=0.04)


def test_two_epochs_show_every_image_both_ways():
    image = torch.tensor([1, 2]).view(1, 1, 1, 2).expand(200, 1, 1, 2)
    first, second, third = (
        Augmentation(flip=True).draw(200, 0, epoch, CPU)(image, torch.arange(200))
        for epoch in (0, 1, 2)
    )
    assert second.equal(first.flip(-1))
    assert third.equal(first)


def test_crop_alone_never_mirrors():
    image = torch.zeros(500, 1, 8, 8, dtype=torch.uint8)
    image[..., 3, 2] = 1
    found = Augmentation(pad=1).draw(500, 0, 0, CPU)(image, torch.arange(500))
    assert set(found.nonzero()[:, 3].tolist()) == {1, 2, 3}


def test_a_hole_by_hand_and_over_the_border():
    images = torch.ones(2, 1, 3, 4, dtype=torch.uint8)
    cut = cut_hole(images, 2, torch.tensor([0, 2]), torch.tensor([1, -1]))
    assert (cut[0, 0] != 1).int().tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert (cut[1, 0] != 1).int().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_holes_cover_every_pixel_of_some_image_and_never_all_of_one():
    images = torch.ones(2000, 1, 8, 8, dtype=torch.uint8)
    cut = Augmentation(hole=2).draw(2000, 0, 0, CPU)(images, torch.arange(2000)) != 1
    assert set(cut.sum((1, 2, 3)).tolist()) <= {1, 2, 4}
    assert cut.float().mean(0).min() > 0.2 * cut.float().mean(0).max()  # corners: a quarter
    again = Augmentation(hole=2).draw(2000, 0, 1, CPU)(images, torch.arange(2000)) != 1
    assert not cut.equal(again)


def test_channel_statistics_are_those_of_numpy():
    images = torch.randint(0, 256, (30, 3, 5, 4), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean.numpy() == pytest.approx(images.numpy().mean((0, 2, 3)))
    assert std.numpy() == pytest.approx(images.numpy().std((0, 2, 3)))


def test_normalised_training_set_has_mean_zero_and_deviation_one():
    images = torch.randint(0, 100, (50, 2, 4, 4), dtype=torch.uint8)
    images[:, 1] = 9  # a constant channel
    normalised = normaliser(channel_statistics(images), (2, 4, 4), CPU)(images)
    assert normalised.dtype == torch.float32
    assert normalised[:, 0].mean().item() == pytest.approx(0, abs=1e-5)
    assert normalised[:, 0].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert normalised[:, 1].abs().max().item() < 1e-5


def test_no_batch_copies_numbers_to_its_device(monkeypatch) -> None:
    """Such a copy makes the host wait for a GPU; indexing and arithmetic do not."""
    images = torch.zeros(6, 3, 8, 10, dtype=torch.uint8)
    augment = Augmentation(pad=1, flip=True, hole=4).draw(6, 0, 0, torch.device("cpu"))
    expected = augment(images, torch.arange(6))
    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, None)
    assert augment(images, torch.arange(6)).equal(expected)
    assert (expected != 0).flatten(1).any(1).all()  # a hole in each image
