"""How many clusters each coarse class is to have: what ``k`` of the recovery monitor stands for."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from collapse_lit.callbacks.coarse_labels import Classes
from collapse_lit.errors import UserError
from collapse_lit.features import Features
from collapse_lit.measure.distributed import Group, sum_over_ranks
from collapse_lit.measure.recovery.scoring import fine_hierarchy

NumClusters = int | list[int | None] | Literal["given", "auto"]

NO_FINE_LABELS = (
    "recovery.k: 'given' needs fine labels; without them give a number, a list with one number a "
    "coarse class, or 'auto'"
)


def estimates(k: NumClusters) -> bool:
    """Whether the number of clusters of some class is to be estimated."""
    return k == "auto" or (isinstance(k, list) and None in k)


def clusters_wanted(
    k: NumClusters, train: Features, classes: Classes, group: Group
) -> list[int | None]:
    """(C,) clusters in each class measured, None where their number is to be estimated.

    Args:
        k: As for :class:`RecoveryMonitor`.
        train: The training samples, their labels numbered as ``classes`` number them.
        classes: The classes measured.
        group: Process group whose ranks hold the samples.

    Raises:
        UserError: No number of them is known, or not one for each class.
    """
    if k == "auto":
        return [None] * classes.count
    if isinstance(k, int):
        return [k] * classes.count
    if k != "given":
        return classes.pick(k)
    if train.fine is None:
        raise UserError(NO_FINE_LABELS)
    fine_to_coarse = fine_hierarchy(train.fine, train.coarse, group)
    known = fine_to_coarse[fine_to_coarse >= 0]
    return torch.bincount(known, minlength=classes.count).tolist()


def class_sizes(coarse: Tensor, num_coarse: int, group: Group) -> list[int]:
    """(C,) samples of each coarse class over all ranks, from their labels (n_local,)."""
    return sum_over_ranks(torch.bincount(coarse, minlength=num_coarse), group).tolist()


def at_most(
    wanted: Sequence[int | None], sizes: Sequence[int]
) -> tuple[list[int | None], list[int]]:
    """Clusters of each class, no more than it has samples; and the classes that have fewer."""
    fewer = [
        c
        for c, (k, size) in enumerate(zip(wanted, sizes, strict=True))
        if k is not None and k > size
    ]
    return [sizes[c] if c in fewer else k for c, k in enumerate(wanted)], fewer


def check_class_sizes(
    k: int | Sequence[int | None] | Literal["auto"], coarse: Tensor, num_coarse: int, group: Group
) -> None:
    """See that every coarse class has samples enough for its clusters.

    Raises:
        UserError: It has not, or ``k`` has another length than there are coarse classes.
    """
    if isinstance(k, str):
        return
    wanted = [k] * num_coarse if isinstance(k, int) else list(k)
    if len(wanted) != num_coarse:
        raise UserError(f"recovery.k: {len(wanted)} numbers for {num_coarse} coarse classes")
    sizes = class_sizes(coarse, num_coarse, group)
    for label, (clusters, size) in enumerate(zip(wanted, sizes, strict=True)):
        if clusters is not None and not 1 <= clusters <= size:
            raise UserError(
                f"recovery.k: {clusters} clusters for coarse class {label}, which has {size} "
                f"training samples; 1 to {size} would be possible"
            )
