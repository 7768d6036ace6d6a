"""Reductions over the processes of a group; ``group=None`` means a single process.

Every function is a collective: all ranks of the group must call it in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")
Group = dist.ProcessGroup | None


def rank_and_size(group: Group) -> tuple[int, int]:
    """This process's rank in ``group`` and the number of processes; (0, 1) for a single process."""
    if group is None:
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


def sum_over_ranks(tensor: Tensor, group: Group) -> Tensor:
    """The sum of ``tensor`` over the ranks of ``group``, bit-identical on every rank.

    With a group, the tensor is overwritten.
    """
    if group is not None:
        dist.all_reduce(tensor, op=dist.ReduceOp.SUM, group=group)
    return tensor


def sum_on_rank(tensor: Tensor, rank: int, group: Group) -> Tensor:
    """The sum of ``tensor`` over the ranks of ``group``, on one rank; of no use on the others.

    With a group, the tensor is overwritten.
    """
    if group is not None:
        dist.reduce(tensor, dist.get_global_rank(group, rank), dist.ReduceOp.SUM, group)
    return tensor


def mean_over_ranks(hits: Tensor, group: Group) -> float:
    """Mean of (n_local,) hits or probabilities over all ranks; nan without samples."""
    counted = torch.stack([hits.double().sum(), hits.new_tensor(len(hits), dtype=torch.float64)])
    total, count = sum_over_ranks(counted, group)
    return float(total / count)


def max_over_ranks(tensor: Tensor, group: Group) -> Tensor:
    """The elementwise maximum of ``tensor`` over the ranks of ``group``; overwrites the tensor."""
    if group is not None:
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=group)
    return tensor


def of_first_rank(tensor: Tensor, group: Group) -> Tensor:
    """The first rank's ``tensor``, on every rank; the others' are overwritten.

    Ranks on different processors may solve the same problem to different last bits.
    """
    if group is not None:
        dist.broadcast(tensor, dist.get_global_rank(group, 0), group=group)
    return tensor


def concat_over_ranks(rows: Tensor, group: Group) -> Tensor:
    """Concatenate the rows (n_local, …) of all ranks to (N, …), on every rank.

    Ranks may hold different numbers of rows, including none.
    """
    if group is None:
        return rows
    _, size = rank_and_size(group)
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.zeros_like(count) for _ in range(size)]
    dist.all_gather(counts, count, group=group)
    lengths = [int(n) for n in counts]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.zeros_like(padded) for _ in range(size)]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])


def rows_to_owners(rows: Tensor, owner: Tensor, group: Group) -> Tensor:
    """The rows of all ranks that belong to this one, (n_mine, …), ranks one after the other.

    No rank ever holds rows of another owner besides those that it had.

    Args:
        rows: (n_local, …) any rows; ranks may hold different numbers of them, also none.
        owner: (n_local,) int64, the rank that each row goes to.
        group: process group whose ranks hold the rows.
    """
    if group is None:
        return rows
    rank, size = rank_and_size(group)
    sent = torch.zeros(size, size, dtype=torch.int64, device=rows.device)  # from, to
    sent[rank] = torch.bincount(owner, minlength=size)
    lengths = sum_over_ranks(sent, group).tolist()
    mine = rows[:0]
    for to in range(size):
        padded = rows.new_zeros(max(row[to] for row in lengths), *rows.shape[1:])
        padded[: lengths[rank][to]] = rows[owner == to]
        parts = [torch.zeros_like(padded) for _ in range(size)] if to == rank else None
        dist.gather(padded, parts, dst=dist.get_global_rank(group, to), group=group)
        if parts is not None:
            mine = torch.cat([part[: row[to]] for part, row in zip(parts, lengths, strict=True)])
    return mine


def gather_objects(mine: T, group: Group) -> list[T]:
    """Gather the picklable object of each rank, in the order of ranks, on every rank."""
    if group is None:
        return [mine]
    _, size = rank_and_size(group)
    parts: list[Any] = [None] * size
    dist.all_gather_object(parts, mine, group=group)
    return parts


def from_all_ranks(find: Callable[[], Sequence[T]], group: Group, what: str) -> list[T]:
    """What ``find`` returns on each rank, ranks one after the other, on every rank.

    Args:
        find: finds this rank's part, without collectives; its items can be pickled.
        group: process group; ``None`` for a single process.
        what: what ``find`` does to coarse classes, as a verb for the message.

    Raises:
        Exception: ``find`` failed on a rank. That rank raises its own error, the other ranks a
            ValueError with its message.
    """
    if group is None:
        return list(find())
    mine: Sequence[T] = []
    failure: Exception | None = None
    try:
        mine = find()
    except Exception as error:
        failure = error
    parts = gather_objects((mine, "" if failure is None else repr(failure)), group)
    if failure is not None:
        raise failure
    for rank, (_, said) in enumerate(parts):
        if said:
            raise ValueError(f"rank {rank} could not {what} its coarse classes: {said}")
    return [found for part, _ in parts for found in part]
