"""Random boxes of images, enlarged to the size of the image, in batches on the device."""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

SCALE = (0.08, 1.0)  # area of a box, in units of the image's
RATIO = (3 / 4, 4 / 3)  # width of a box, in units of its height
TRIES = 10  # draws of a box until one fits into the image; else the largest central box is taken


def draw_boxes(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Boxes with the distribution of ``torchvision.transforms.RandomResizedCrop.get_params``.

    Args:
        n: number of boxes.
        height: height of the images in pixels.
        width: width of the images in pixels.
        generator: source of the random numbers, on the CPU.

    Returns:
        (4, n) int64: top, left, height and width of each box in pixels.
    """
    sides = torch.tensor([height, width])[:, None]
    place = torch.rand(2, n, generator=generator, dtype=torch.float64)
    size = _central_box(height, width).repeat(1, n)
    settled = torch.zeros(n, dtype=torch.bool)
    for _ in range(TRIES):
        tried = _draw_sizes(n, height * width, generator)
        fits = ((tried > 0) & (tried <= sides)).all(dim=0)
        size = torch.where(fits & ~settled, tried, size)
        settled |= fits
    free = sides - size
    corner = torch.where(settled, (place * (free + 1)).long(), free // 2)
    return torch.cat([corner, size])


def _draw_sizes(n: int, area: int, generator: torch.Generator) -> Tensor:
    """Heights and widths (2, n) int64 of boxes in an image of this area, which may not fit it."""
    share, uniform = torch.rand(2, n, generator=generator)
    areas = area * (SCALE[0] + (SCALE[1] - SCALE[0]) * share)
    low, high = (math.log(ratio) for ratio in RATIO)
    ratios = (low + (high - low) * uniform).exp()
    return torch.stack([areas / ratios, areas * ratios]).sqrt().round().long()


def _central_box(height: int, width: int) -> Tensor:
    """Height and width (2, 1) of the largest box with an allowed ratio."""
    return torch.tensor(
        [[min(height, round(width / RATIO[0]))], [min(width, round(height * RATIO[1]))]]
    )


def enlarge_boxes(images: Tensor, boxes: Tensor, flip: Tensor) -> Tensor:
    """A box of each image, enlarged to the size of the image by bilinear interpolation.

    Boxes are never larger than the image, so smoothing before the interpolation (``antialias``)
    would change nothing.

    Args:
        images: (B, C, H, W).
        boxes: (4, B) int64: top, left, height and width of the boxes, inside the images.
        flip: which boxes to mirror left to right, (B,) bool.

    Returns:
        images of the same shape, dtype and device.
    """
    top, left, height, width = boxes
    rows = _positions(top, height, images.shape[2])  # (B, H)
    columns = _positions(left, width, images.shape[3])  # (B, W)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), dim=-1)
    found = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return found if images.is_floating_point() else found.round_().to(images.dtype)


def _positions(start: Tensor, size: Tensor, n: int) -> Tensor:
    """Places (B, n) of n evenly spaced pixels of each box, where -1 and 1 are the image's borders.

    They stay between the centres of the first and last pixel of a box, so that no pixel beside it
    is read.
    """
    inside = (torch.arange(n, device=start.device) + 0.5) * (size / n)[:, None] - 0.5
    inside = inside.clamp(min=0).minimum(size[:, None] - 1.0)
    return (2 * (start[:, None] + inside) + 1) / n - 1
