"""Recognise fine labels in the batches of any data set."""

import dataclasses

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from collapse_lit.features import Features
from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    sum_over_ranks,
)

# With fewer samples per value than this, on average, the values are an index, not fine classes.
SAMPLES_IN_A_CLASS = 4


def settle_fine(
    splits: dict[str, Features], group: Group, *, said: bool, complete: bool = True
) -> dict[str, Features]:
    """The splits with their fine labels, if any, numbered from 0 without gaps.

    The third item of a batch may be an index, a group or a flag. It counts as a fine label if the
    user says so, or if each of its values lies inside one coarse class and several samples share
    it. Other splits have fine labels if their values agree with the training set.

    Args:
        splits: Features of all splits. "train" decides, in the same way on all ranks.
        group: Process group whose ranks share the samples.
        said: Whether the user declares the third item a fine label.
        complete: Whether the splits are complete. A first batch alone does not show what the item
            is.
    """
    train = splits.get("train")
    if train is None or train.fine is None:
        return {split: dataclasses.replace(one, fine=None) for split, one in splits.items()}
    if not complete:
        return splits
    known = _pairs(train, group)
    reason = _is_none(known, _samples(train, group), said)
    if reason is not None:
        rank_zero_info(
            f"the third item of a batch is not a fine label ({reason}) and is ignored; pass "
            "batch=lambda batch: (inputs, labels, fine labels) to say where fine labels are"
        )
        return {split: dataclasses.replace(one, fine=None) for split, one in splits.items()}
    values = known[:, 0].unique()  # (F,) sorted
    settled = {"train": _numbered(train, values)}
    for split, one in splits.items():
        if split == "train":
            continue
        there = _pairs(one, group)
        agree = one.fine is not None and _agree(known, there)
        if one.fine is not None and not agree:
            rank_zero_info(
                f"the third item of a batch of the {split} data does not match the fine labels of "
                "the training data; measures that need fine labels are skipped on this split"
            )
        more = there[:, 0][~torch.isin(there[:, 0], values)].unique()
        numbers = torch.cat([values, more])
        settled[split] = _numbered(one, numbers) if agree else dataclasses.replace(one, fine=None)
    return {split: settled[split] for split in splits}


def _is_none(pairs: Tensor, samples: int, said: bool) -> str | None:
    """Why the values cannot be fine labels; None if they can."""
    if len(pairs) and int(pairs[:, 0].min()) < 0:
        return "it has negative values"
    if said:
        return None
    if len(pairs) > max(samples // SAMPLES_IN_A_CLASS, 1):
        return f"it has {len(pairs)} values in {samples} samples, like an index"
    if len(pairs[:, 0].unique()) < len(pairs):
        return "samples with the same value have different labels"
    return None


def _agree(known: Tensor, there: Tensor) -> bool:
    """Whether most values of another split occur in training, in the same coarse class."""
    coarse_of = dict(known.tolist())
    pairs = there.tolist()
    seen = [coarse_of[fine] == coarse for fine, coarse in pairs if fine in coarse_of]
    return all(seen) and 2 * len(seen) >= len(pairs)


def _numbered(features: Features, values: Tensor) -> Features:
    """Replace fine labels by their positions in ``values`` (F,), which contain all of them."""
    assert features.fine is not None
    order = values.argsort()
    place = torch.searchsorted(values[order], features.fine)
    return dataclasses.replace(features, fine=order[place])


def _samples(features: Features, group: Group) -> int:
    return int(sum_over_ranks(features.coarse.new_tensor([len(features.coarse)]), group))


def _pairs(features: Features, group: Group) -> Tensor:
    """(P, 2) int64, sorted: every pair of fine and coarse label on any rank."""
    fine = features.coarse.new_zeros(0) if features.fine is None else features.fine
    mine = torch.stack([fine, features.coarse[: len(fine)]], dim=1).unique(dim=0)
    return concat_over_ranks(mine, group).unique(dim=0)
