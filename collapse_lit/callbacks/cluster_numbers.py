"""The number of clusters of each coarse class, from ``k`` of the recovery monitor."""

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
    "recovery.k: 'given' needs fine labels; without them, give a number, a list with one number "
    "per coarse class, or 'auto'"
)


def estimates(k: NumClusters) -> bool:
    """Whether the number of clusters of any class must be estimated."""
    return k == "auto" or (isinstance(k, list) and None in k)


def clusters_wanted(
    k: NumClusters, train: Features, classes: Classes, group: Group
) -> list[int | None]:
    """(C,) number of clusters in each measured class, None to estimate it.

    Args:
        k: As for :class:`RecoveryMonitor`.
        train: The training samples, with labels numbered by ``classes``.
        classes: The measured classes.
        group: Process group whose ranks hold the samples.

    Raises:
        UserError: The numbers are unknown, or there is not one for each class.
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
    """(C,) number of samples of each coarse class over all ranks, from labels (n_local,)."""
    return sum_over_ranks(torch.bincount(coarse, minlength=num_coarse), group).tolist()


def at_most(
    wanted: Sequence[int | None], sizes: Sequence[int]
) -> tuple[list[int | None], list[int]]:
    """Clusters of each class, capped at its number of samples; and the capped classes."""
    fewer = [
        c
        for c, (k, size) in enumerate(zip(wanted, sizes, strict=True))
        if k is not None and k > size
    ]
    return [sizes[c] if c in fewer else k for c, k in enumerate(wanted)], fewer


def check_class_sizes(
    k: int | Sequence[int | None] | Literal["auto"], coarse: Tensor, num_coarse: int, group: Group
) -> None:
    """Check that every coarse class has enough samples for its clusters.

    Raises:
        UserError: A class has too few samples, or ``k`` does not have one entry per coarse class.
    """
    if isinstance(k, str):
        return
    wanted = [k] * num_coarse if isinstance(k, int) else list(k)
    if len(wanted) != num_coarse:
        raise UserError(f"recovery.k: {len(wanted)} numbers given for {num_coarse} coarse classes")
    sizes = class_sizes(coarse, num_coarse, group)
    for label, (clusters, size) in enumerate(zip(wanted, sizes, strict=True)):
        if clusters is not None and not 1 <= clusters <= size:
            raise UserError(
                f"recovery.k: {clusters} clusters for coarse class {label}, which has {size} "
                f"training samples; give a number from 1 to {size}"
            )
