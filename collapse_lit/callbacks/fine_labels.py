"""Fine labels in anybody's data: what can be one, and which coarse class each fine class is in."""

import dataclasses

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from collapse_lit.features import Features
from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    max_over_ranks,
    sum_over_ranks,
)

# Fewer samples than this in a fine class, on average, and it is an index and no class.
SAMPLES_IN_A_CLASS = 4


def settle_fine(
    splits: dict[str, Features], group: Group, *, said: bool, complete: bool = True
) -> dict[str, Features]:
    """The splits with fine labels where there are any, numbered from 0 on without a gap.

    The third item of a batch may be anything: an index, a group, a flag. It is taken for a fine
    label where it was said to be one, or where every value of it lies inside one coarse class and
    is shared by several samples.

    Args:
        splits: What the passes found; decided by "train", the same for all splits and ranks.
        group: Process group whose ranks share the samples.
        said: It was said that the third item is a fine label.
        complete: The splits are whole; of a first batch alone, nothing can be said.
    """
    train = splits.get("train")
    if train is None or train.fine is None:
        return {split: dataclasses.replace(one, fine=None) for split, one in splits.items()}
    if said or not complete:
        return splits
    pairs = concat_over_ranks(_pairs(train.fine, train.coarse), group).unique(dim=0)  # (P, 2)
    samples = int(sum_over_ranks(train.fine.new_tensor([len(train.fine)]), group))
    reason = None
    if len(pairs) > max(samples // SAMPLES_IN_A_CLASS, 1):
        reason = f"it has {len(pairs)} values in {samples} samples, as an index has"
    elif len(pairs[:, 0].unique()) < len(pairs):
        reason = "samples of one value carry different labels"
    elif int(pairs.min()) < 0:
        reason = "it has negative values"
    if reason is not None:
        rank_zero_info(
            f"the third item of a batch is no fine label ({reason}) and is left alone; "
            "batch=lambda batch: (inputs, labels, fine labels) says where fine labels are"
        )
        return {split: dataclasses.replace(one, fine=None) for split, one in splits.items()}
    found = [one.fine for one in splits.values() if one.fine is not None]
    values = concat_over_ranks(torch.cat(found).unique()[:, None], group).unique()  # (F,) sorted
    return {
        split: one
        if one.fine is None
        else dataclasses.replace(one, fine=torch.searchsorted(values, one.fine))
        for split, one in splits.items()
    }


def _pairs(fine: Tensor, coarse: Tensor) -> Tensor:
    """(P, 2) int64, every pair of a fine and a coarse label that this rank holds."""
    return torch.stack([fine, coarse], dim=1).unique(dim=0)


def fine_hierarchy(features: Features, group: Group) -> Tensor:
    """The coarse class of each fine class, (F,) int64, read off the labels of all ranks.

    -1 for a number below F that no sample carries.

    Raises:
        ValueError: Samples of one fine class carry different coarse labels.
    """
    fine, coarse = features.fine, features.coarse
    if fine is None:
        raise ValueError("there are no fine labels to read a hierarchy from")
    size = fine.max().add(1).reshape(1) if len(fine) else fine.new_zeros(1)
    max_over_ranks(size, group)
    fine_to_coarse = torch.full((int(size),), -1, device=fine.device)
    fine_to_coarse[fine] = coarse
    max_over_ranks(fine_to_coarse, group)
    astray = (fine_to_coarse[fine] != coarse).any().long().reshape(1)
    max_over_ranks(astray, group)
    if int(astray):
        raise ValueError("samples of one fine class carry different coarse labels")
    return fine_to_coarse
