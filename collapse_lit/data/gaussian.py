"""A synthetic mixture of vectors whose hidden classes are known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.errors import UserError


@dataclass(frozen=True)
class GaussianMixture:
    """A Gaussian mixture with known fine classes, drawn by ``source: gaussian``.

    The noise has standard deviation 1 in each direction. Fine classes i and j share a coarse centre
    if i = j mod ``num_coarse``, and ``coarse: mod`` merges them.

    Args:
        num_fine: number of fine classes.
        dim: dimension of the vectors, at least num_fine + num_coarse.
        per_class: training vectors of each fine class; the test set has half as many.
        fine_distance: distance between the centres of two fine classes of one coarse class, in
            standard deviations of the noise. Coarse centres are four times as far apart.
    """

    num_fine: int = 10
    dim: int = 32
    per_class: int = 500
    fine_distance: float = 4.0


def draw_mixture(mixture: GaussianMixture, num_coarse: int, seed: int) -> LabelledImages:
    """Draw a Gaussian mixture: vectors (N, dim) float32 in random order.

    Raises:
        UserError: the dimension is too small for centres at exact distances.
    """
    if mixture.dim < mixture.num_fine + num_coarse:
        raise UserError(
            f"data.gaussian.dim={mixture.dim} is too small: {num_coarse} coarse and "
            f"{mixture.num_fine} fine centres need at least {mixture.num_fine + num_coarse}"
        )
    generator = torch.Generator().manual_seed(seed)
    centres = mixture_centres(mixture, num_coarse, generator)

    def draw(per_class: int) -> Split:
        labels = torch.arange(mixture.num_fine).repeat_interleave(per_class)
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.randn(len(labels), mixture.dim, generator=generator)
        return Split(centres[labels] + noise, labels)

    train = draw(mixture.per_class)
    return LabelledImages(train, draw(max(1, mixture.per_class // 2)), mixture_names(mixture))


def mixture_names(mixture: GaussianMixture) -> tuple[str, ...]:
    """Names of its fine classes."""
    return tuple(f"class{i}" for i in range(mixture.num_fine))


def mixture_centres(
    mixture: GaussianMixture, num_coarse: int, generator: torch.Generator
) -> Tensor:
    """Centres (F, dim) of the fine classes, along orthogonal directions so that distances are
    exact.

    Two points at a/√2 along two orthogonal directions lie a apart.
    """
    noise = torch.randn(mixture.dim, mixture.dim, generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(noise).Q  # (dim, dim), orthonormal rows
    fine = torch.arange(mixture.num_fine)
    step = mixture.fine_distance / 2**0.5
    coarse_part = 4 * step * directions[fine % num_coarse]
    fine_part = step * directions[num_coarse + fine]
    return (coarse_part + fine_part).float()
