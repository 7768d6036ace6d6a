"""The fast network with one of its tricks taken away, each a backbone by its import path.

make train EXPERIMENT=cifar10_small RUN=relu ARGS="--model.backbone results.ablations.ReLU"
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from collapse_lit.models.fast_cnn import FEATURE_SCALE, FastCNN


class ReLU(FastCNN):
    """ReLU in place of GELU."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)
        for module in (self, *self.blocks):
            module.activation = F.relu


class SlowShifts(FastCNN):
    """BatchNorm's shifts learnt at the rate of all else."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)
        for block in self.blocks:
            for norm in (block.norm1, block.norm2):
                norm.shift_scale = 1  # type: ignore[union-attr]


class LearntFirstLayer(FastCNN):
    """A first convolution that starts at random and is learnt like the others."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)
        self.whitening.requires_grad_(True)

    def initialise_from(self, images: Tensor) -> None:
        """Look at no image."""


class RandomStart(FastCNN):
    """Convolutions that start at random, not as the identity."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()


class SlowStatistics(FastCNN):
    """BatchNorm's running statistics at PyTorch's own momentum."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)
        for block in self.blocks:
            for norm in (block.norm1, block.norm2):
                norm.newest_share = 0.1  # type: ignore[union-attr]


class MeanPooled(FastCNN):
    """Features that are means over positions, not largest values."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, C, H, W)."""
        return self.blocks(self.activation(self.whitening(images))).mean(dim=(2, 3)) * FEATURE_SCALE


class Unscaled(FastCNN):
    """Features as large as they come."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(3, widths)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, d) of images (N, C, H, W)."""
        return super().forward(images) / FEATURE_SCALE
