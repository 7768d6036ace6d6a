"""A network based on the CIFAR-10 speed runs, small enough to train on a CPU."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 2  # pixels per side of a whitened patch
FEATURE_SCALE = 1 / 9  # keeps the linear head stable at the high learning rates of a short run
SHIFT_SCALE = 8  # of BatchNorm's shifts: SGD learns them 64 times as fast
NORM_MOMENTUM = 0.4  # weight of the newest batch in BatchNorm's running statistics
WHITENING_RIDGE = 5e-4  # added to the patch variances, so that noise is not amplified


class FastCNN(nn.Module):
    """Patch whitening, then three blocks of two 3×3 convolutions, each with half the resolution.

    Based on the networks of the CIFAR-10 speed runs (Page, "How to train your ResNet", 2018;
    Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498). The first layer
    is not trained: it maps 2×2 patches to uncorrelated coordinates of unit variance, each with both
    signs, from the statistics of the training images (``initialise_from``). Convolutions start as
    the identity on their first channels. BatchNorm learns no scale, learns its shifts fast, and its
    running statistics follow the last few batches. A short run with a high learning rate needs
    this.

    Args:
        in_channels: channels C of the images.
        widths: channels of the three blocks; the last is the number of features.
    """

    activation = staticmethod(F.gelu)

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = (64, 256, 256)) -> None:
        super().__init__()
        patch = in_channels * PATCH**2
        self.whitening = nn.Conv2d(in_channels, 2 * patch, PATCH)
        self.whitening.weight.requires_grad_(False)
        self.blocks = nn.Sequential(
            *(_Block(inside, outside) for inside, outside in pairwise([2 * patch, *widths]))
        )

    def initialise_from(self, images: Tensor) -> None:
        """Set the whitening from normalised images (n, C, H, W), without labels."""
        weight = whitening_filters(images)
        with torch.no_grad():
            self.whitening.weight.copy_(torch.cat([weight, -weight]))
            self.whitening.bias.zero_()  # type: ignore[union-attr]

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, C, H, W): the maximum over positions, scaled."""
        return self.blocks(self.activation(self.whitening(images))).amax(dim=(2, 3)) * FEATURE_SCALE


class _Block(nn.Module):
    """Convolution, 2×2 max pooling, convolution; both convolutions with BatchNorm and GELU."""

    activation = staticmethod(F.gelu)

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = _identity_conv(inside, outside)
        self.norm1 = _Norm(outside)
        self.conv2 = _identity_conv(outside, outside)
        self.norm2 = _Norm(outside)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return self.activation(self.norm2(self.conv2(x)))


class _Norm(nn.BatchNorm2d):
    """BatchNorm with a learnt shift and no scale.

    The parameter is the shift divided by ``SHIFT_SCALE``. A step of SGD then moves the shift by the
    square of this scale times its gradient, while weight decay acts as on other parameters.
    """

    shift_scale = SHIFT_SCALE
    newest_share = NORM_MOMENTUM

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=NORM_MOMENTUM, affine=False)
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised and shifted x (N, C, H, W)."""
        running = (self.running_mean, self.running_var)
        shift = self.shift_scale * self.shift
        return F.batch_norm(x, *running, None, shift, self.training, self.newest_share, self.eps)


def _identity_conv(inside: int, outside: int) -> nn.Conv2d:
    """A 3×3 convolution whose first channels start as the identity."""
    conv = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:inside])
    return conv


def whitening_filters(images: Tensor) -> Tensor:
    """Filters (C·p², C, p, p) that make patches of the images (n, C, H, W) uncorrelated."""
    channels = images.shape[1]
    patches = images.float().unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (n, C, h, w, p, p)
    patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * PATCH**2)
    covariance = patches.T @ patches / len(patches)  # around zero, because images are normalised
    variances, axes = torch.linalg.eigh(covariance.double())
    filters = (axes / (variances + WHITENING_RIDGE).sqrt()).T.float()
    return filters.reshape(-1, channels, PATCH, PATCH)
