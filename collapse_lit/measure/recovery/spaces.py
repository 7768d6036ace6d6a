"""Spaces for clustering a coarse class: coordinates and clusterer, such as ``white32/gmm``."""

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.distributed import Group
from collapse_lit.measure.recovery.clusterers import CLUSTERERS
from collapse_lit.measure.recovery.kinds import KINDS, Kind, root_mean
from collapse_lit.measure.recovery.residuals import ROWS_AT_A_TIME, Residuals, counts_and_means

CANDIDATES = ("white32/gmm", "unit-white32/gmm")  # candidates of the label-free choice
ONE_WAY = 0.5  # smallest length of the mean unit vector; 0: all directions, 1: one direction
NAME = re.compile(r"(unit-)?([a-z][a-z_]*)([1-9]\d*)?/([a-z][a-z0-9_]*)")


@dataclass(frozen=True)
class Space:
    """A kind of coordinates inside a coarse class, and a clusterer.

    ``str(space)`` is the name from which it was parsed, and which is recorded with every result.

    Attributes:
        kind: Name of the kind of coordinates, a key of ``kinds.KINDS``.
        clusterer: Name of the clusterer, a key of ``clusterers.CLUSTERERS``.
        rank: Number of coordinates if the name contains it, else None.
        unit: Whether features are scaled to length one first.
    """

    kind: str
    clusterer: str
    rank: int | None = None
    unit: bool = False

    @classmethod
    def parse(cls, name: str) -> "Space":
        """``"unit-white32/gmm"`` → unit length, whitened, 32 coordinates, Gaussian mixture.

        Raises:
            ValueError: The space is not registered; the message lists the registered parts.
        """
        match = NAME.fullmatch(name)
        kind = None if match is None else KINDS.get(match[2])
        if (
            match is None
            or kind is None
            or kind.ranked != (match[3] is not None)
            or match[4] not in CLUSTERERS
        ):
            raise ValueError(_unknown(name))
        return cls(match[2], match[4], int(match[3]) if kind.ranked else None, match[1] is not None)

    def __str__(self) -> str:
        rank = "" if self.rank is None else self.rank
        return f"{'unit-' if self.unit else ''}{self.kind}{rank}/{self.clusterer}"

    @property
    def coordinates(self) -> Kind:
        """How to compute its coordinates."""
        return KINDS[self.kind]

    def with_rank(self, rank: int) -> "Space":
        """The space with its actual rank: ``white32/gmm`` → ``white17/gmm``."""
        return self if self.rank is None else replace(self, rank=rank)


def spaces_to_try(space: str | Space | None, *, estimate: bool = False) -> tuple[Space, ...]:
    """The requested space, or the candidates of the label-free choice.

    Args:
        space: A space or its name; None or ``"auto"`` for the label-free choice.
        estimate: Whether a number of clusters must be estimated.

    Raises:
        ValueError: The space is not registered, or it allows no estimate.
    """
    if isinstance(space, Space):
        spaces: tuple[Space, ...] = (space,)
    else:
        names = CANDIDATES if space in (None, "auto") else (str(space),)
        spaces = tuple(Space.parse(name) for name in names)
    for one in spaces:
        if estimate and not one.coordinates.white:
            raise ValueError(
                f"k='auto', or None for a class, needs a whitened space such as 'white32/gmm', "
                f"not '{one}'"
            )
    return spaces


def _unknown(name: str) -> str:
    kinds = [f"{key}R" if kind.ranked else key for key, kind in KINDS.items()]
    return (
        f"space {name!r} is unknown: give KIND/CLUSTERER, such as 'white32/gmm'. KIND is one of "
        f"{', '.join(kinds)} (R is a number; the prefix unit- is optional), CLUSTERER is one of "
        f"{', '.join(CLUSTERERS)}"
    )


def point_one_way(features: Tensor, coarse: Tensor, num_coarse: int, group: Group) -> Tensor:
    """(C,) bool: whether the features of a coarse class point roughly in one direction.

    Otherwise, scaling to length one would turn samples on the two sides of zero into clusters by
    sign. Examples are centred features with few dimensions or with one huge column.
    """
    _, means = counts_and_means(features, coarse, num_coarse, group, unit=True)
    return means.norm(dim=1) >= ONE_WAY


def coordinates(
    features: Tensor, coarse: Tensor, num_coarse: int, space: Space, group: Group
) -> Tensor:
    """Coordinates of every sample in the space of its own coarse class.

    First come the means, then the scatter of centred residuals, all in float64: a one-pass scatter
    in float32 is wrong near collapse. Ranks exchange only d numbers and a d × d scatter per class,
    and share out the eigenvalue problems.
    Any sharding gives the same coordinates. Layouts such as t-SNE follow later, class by class
    (:func:`laid_out`).

    Args:
        features: (n_local, d) floating point.
        coarse: (n_local,) int64 in 0..num_coarse-1.
        num_coarse: number of coarse classes C.
        space: the coordinates. The rank is limited to d and, in each class, to the number of
            varying directions and to one axis for every sixteen samples.
        group: process group whose ranks hold the samples.

    Returns:
        (n_local, r) float32 with an average variance of one per column; columns beyond the rank of
        a class are zero.
    """
    residuals = Residuals.of(features, coarse, num_coarse, space.unit, group)
    kind, d = space.coordinates, features.shape[1]
    width = min(space.rank or kind.rank or d, d)
    result = torch.zeros(len(features), width, device=features.device)
    for of_class in residuals:
        points_of = kind.fit(of_class, width)
        parts = of_class.rows.split(ROWS_AT_A_TIME)
        # rounded from float64, so that the result does not depend on the sharding
        for part, block in zip(parts, of_class.blocks(), strict=True):
            points = points_of(block).float()
            result[part, : points.shape[1]] = points
    return result


def laid_out(points: Tensor, space: Space, seed: int) -> Tensor:
    """The points of one class to cluster, from its coordinates (n, r) in the space.

    Returns:
        (n, 2) float32 points of t-SNE, UMAP or another layout, centred and with unit variance;
        without a layout, the coordinates themselves.

    Raises:
        ImportError: The layout's library is not installed.
    """
    layout = space.coordinates.layout
    if layout is None:
        return points
    flat = torch.from_numpy(np.array(layout(points.numpy(), seed), dtype=np.float32))
    return (flat - flat.mean(dim=0)) / root_mean(flat.var(dim=0))
