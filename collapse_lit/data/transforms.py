"""Transforms of a batch on the device: random crop or box, mirror and hole, then normalisation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collapse_lit.data.resized_crop import draw_boxes, enlarge_boxes
from collapse_lit.errors import UserError

ORDER, AUGMENTATION, MIRROR, HOLE = 0, 1, 2, 3  # independent streams of random numbers
GREY = 128  # of 0…255: fills holes; about the mean of natural images
STATISTICS_FROM = 100_000  # largest number of images for mean and standard deviation

Augment = Callable[[Tensor, Tensor], Tensor]
Normalise = Callable[[Tensor], Tensor]


def random_stream(seed: int, epoch: int, stream: int) -> torch.Generator:
    """A CPU generator for one purpose in one epoch, the same on all ranks and after a resume."""
    state = np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def crop_and_flip(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Pad each image with zeros, mirror some left to right, and crop all to the old size.

    Args:
        images: (B, C, H, W).
        pad: width of the padding in pixels.
        top: first row of each crop in the padded and mirrored image, (B,) int64 in 0…2·pad.
        left: first column of each crop, likewise.
        flip: which images to mirror, (B,) bool.

    Returns:
        images of the same shape, dtype and device.
    """
    B, C, H, W = images.shape
    padded = images.new_zeros(B, C, H + 2 * pad, W + 2 * pad)
    padded[:, :, pad : pad + H, pad : pad + W] = images
    both = torch.stack([padded, padded.flip(-1)])
    windows = both.unfold(3, H, 1).unfold(4, W, 1)  # (2, B, C, 2·pad+1, 2·pad+1, H, W), a view
    return windows[flip.long(), torch.arange(B, device=images.device), :, top, left]


def cut_hole(images: Tensor, side: int, top: Tensor, left: Tensor) -> Tensor:
    """Cover a square of each image with grey (DeVries & Taylor, "Cutout", arXiv 1708.04552).

    Args:
        images: (B, C, H, W).
        side: side of the square in pixels.
        top: first row of each square, (B,) int64; parts outside of the image are cut off.
        left: first column of each square, likewise.

    Returns:
        images of the same shape, dtype and device.
    """

    def inside(start: Tensor, size: int) -> Tensor:
        offset = torch.arange(size, device=images.device) - start[:, None]
        return (offset >= 0) & (offset < side)

    rows, columns = inside(top, images.shape[2]), inside(left, images.shape[3])
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], GREY)


@dataclass(frozen=True)
class Augmentation:
    """Random crop or box, mirror and hole; for sample i in epoch e they depend on seed, e and i.

    The results are therefore the same on any number of devices, on CPU and GPU, and after a resume.

    Attributes:
        pad: largest shift of a crop in pixels; 0 for no crop.
        flip: whether to mirror half of the images. The halves alternate, so every two epochs show
            each image both ways (Jordan, arXiv 2404.00498).
        hole: side of a grey square at a random position, in pixels; 0 for none.
        resized: height and width of the images, of which random boxes are enlarged to this size
            instead of a shift by ``pad``; None for no boxes.
    """

    pad: int = 0
    flip: bool = False
    hole: int = 0
    resized: tuple[int, int] | None = None

    def draw(self, n: int, seed: int, epoch: int, device: torch.device) -> Augment:
        """Draw for all n samples of an epoch.

        Returns:
            A function of images (B, C, H, W) on the device and their indices (B,).
        """
        if not (self.pad or self.flip or self.hole or self.resized):
            return lambda images, index: images
        generator = random_stream(seed, epoch, AUGMENTATION)
        mirrored_first = torch.rand(n, generator=random_stream(seed, 0, MIRROR)) < 0.5
        flip = ((mirrored_first ^ bool(epoch % 2)) & self.flip).to(device)
        if self.resized:
            boxes = draw_boxes(n, *self.resized, generator).to(device)
            return lambda images, index: enlarge_boxes(images, boxes[:, index], flip[index])
        corner = torch.randint(0, 2 * self.pad + 1, (2, n), generator=generator).to(device)
        place = torch.rand(2, n, generator=random_stream(seed, epoch, HOLE)).to(device)

        def augment(images: Tensor, index: Tensor) -> Tensor:
            top, left = corner[:, index]
            images = crop_and_flip(images, self.pad, top, left, flip[index])
            if not self.hole:
                return images
            # Centres lie anywhere in the image, so holes may cross its border, as published. Sizes
            # stay on the host: copying them to the device would block in each batch.
            down, across = place[:, index]
            top = (down * images.shape[2]).long() - self.hole // 2
            left = (across * images.shape[3]).long() - self.hole // 2
            return cut_hole(images, self.hole, top, left)

        return augment


def augmentation_of(name: str, shape: tuple[int, ...]) -> Augmentation:
    """The augmentation that ``data.augment`` names, for samples of this shape.

    Raises:
        UserError: samples are vectors, which cannot be augmented.
    """
    if name == "none":
        return Augmentation()
    if len(shape) != 3:
        raise UserError(f"data.augment={name!r} needs images; set it to none for vectors")
    _, height, width = shape
    flip, side = "flip" in name, min(height, width)
    if "resized" in name:
        return Augmentation(flip=flip, resized=(height, width))
    return Augmentation(
        pad=max(1, side // 8),  # 4 pixels of 32, as is usual for CIFAR
        flip=flip,
        hole=side // 4 if "cutout" in name else 0,
    )


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel on the scale 0…255, each (C,) float64.

    They are taken from all images, or from 50,000 to 100,000 evenly spaced images if there are
    more.
    """
    every = -(-len(images) // STATISTICS_FROM)
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)  # exact: a histogram of uint8
    for chunk in images[::every].split(1024):
        for c, channel in enumerate(chunk.unbind(1)):
            counts[c] += torch.bincount(channel.reshape(-1), minlength=256)
    share = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(1)
    return mean, variance.sqrt()


def normaliser(
    statistics: tuple[Tensor, Tensor] | None, shape: tuple[int, ...], device: torch.device
) -> Normalise:
    """A function that maps uint8 batches (B, C, H, W) to float32 with mean 0 and deviation 1.

    It returns batches in the channels-last layout, the fastest for convolutions. Without statistics
    it returns batches unchanged, as for vectors.

    Args:
        statistics: mean and standard deviation of each channel, each (C,).
        shape: shape (C, H, W) of the images.
        device: device of the batches.
    """
    if statistics is None:
        return lambda batch: batch
    mean, std = statistics
    scale = 1 / std.clamp(min=1.0)  # a constant channel becomes 0, not NaN

    def whole_image(per_channel: Tensor) -> Tensor:  # in the batches' layout: four times as fast
        image = per_channel.float()[None, :, None, None].expand(1, *shape)
        return image.contiguous(memory_format=torch.channels_last).to(device)

    factor, shift = whole_image(scale), whole_image(-mean * scale)

    def normalise(batch: Tensor) -> Tensor:
        floats = batch.to(torch.float32, memory_format=torch.channels_last)
        return floats.mul_(factor).add_(shift)

    return normalise
