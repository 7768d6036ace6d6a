"""Fine labels in anybody's data: what can be one."""

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

# Fewer samples than this in a fine class, on average, and it is an index and no class.
SAMPLES_IN_A_CLASS = 4


def settle_fine(
    splits: dict[str, Features], group: Group, *, said: bool, complete: bool = True
) -> dict[str, Features]:
    """The splits with fine labels where there are any, numbered from 0 on without a gap.

    The third item of a batch may be anything: an index, a group, a flag. It is taken for a fine
    label where it was said to be one, or where every value of it lies inside one coarse class and
    is shared by several samples. The other splits have fine labels where their values agree with
    those of the training set.

    Args:
        splits: What the passes found; decided by "train", the same for all ranks.
        group: Process group whose ranks share the samples.
        said: It was said that the third item is a fine label.
        complete: The splits are whole; of a first batch alone, nothing can be said.
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
            f"the third item of a batch is no fine label ({reason}) and is left alone; "
            "batch=lambda batch: (inputs, labels, fine labels) says where fine labels are"
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
                f"the third item of a batch of the {split} data is no fine label of the training "
                f"data; what needs one there is left out"
            )
        more = there[:, 0][~torch.isin(there[:, 0], values)].unique()
        numbers = torch.cat([values, more])
        settled[split] = _numbered(one, numbers) if agree else dataclasses.replace(one, fine=None)
    return {split: settled[split] for split in splits}


def _is_none(pairs: Tensor, samples: int, said: bool) -> str | None:
    """Why values are no fine labels; None where they can be some."""
    if len(pairs) and int(pairs[:, 0].min()) < 0:
        return "it has negative values"
    if said:
        return None
    if len(pairs) > max(samples // SAMPLES_IN_A_CLASS, 1):
        return f"it has {len(pairs)} values in {samples} samples, as an index has"
    if len(pairs[:, 0].unique()) < len(pairs):
        return "samples of one value carry different labels"
    return None


def _agree(known: Tensor, there: Tensor) -> bool:
    """Whether most values of another split are known, and in their coarse classes of training."""
    coarse_of = dict(known.tolist())
    pairs = there.tolist()
    seen = [coarse_of[fine] == coarse for fine, coarse in pairs if fine in coarse_of]
    return all(seen) and 2 * len(seen) >= len(pairs)


def _numbered(features: Features, values: Tensor) -> Features:
    """Fine labels as positions in ``values`` (F,), which hold all of them."""
    assert features.fine is not None
    order = values.argsort()
    place = torch.searchsorted(values[order], features.fine)
    return dataclasses.replace(features, fine=order[place])


def _samples(features: Features, group: Group) -> int:
    return int(sum_over_ranks(features.coarse.new_tensor([len(features.coarse)]), group))


def _pairs(features: Features, group: Group) -> Tensor:
    """(P, 2) int64, every pair of a fine and a coarse label that any rank holds, sorted."""
    fine = features.coarse.new_zeros(0) if features.fine is None else features.fine
    mine = torch.stack([fine, features.coarse[: len(fine)]], dim=1).unique(dim=0)
    return concat_over_ranks(mine, group).unique(dim=0)
