"""Agree between ranks whether to stop, in parallel with training, so that no batch waits."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class Vote:
    """If any rank votes yes, all ranks get a yes one call later.

    gloo sums the flags on the CPU while the batch is trained. Asking the device in every batch
    would make the host wait.

    Args:
        world_size: Number of ranks; with one, a yes counts at once.
    """

    def __init__(self, world_size: int = 1) -> None:
        self._group: Any = dist.new_group(backend="gloo") if world_size > 1 else None
        self._under_way: tuple[Tensor, dist.Work] | None = None

    def cast(self, mine: bool) -> bool:
        """Vote yes or no; all ranks must call this.

        Returns:
            Whether any rank voted yes at the previous call; with one process, at this call.
        """
        if self._group is None:
            return mine
        before = self.close()
        votes = torch.tensor([mine], dtype=torch.int32)
        work = dist.all_reduce(votes, dist.ReduceOp.MAX, self._group, async_op=True)
        assert work is not None  # None where this process is not in the group
        self._under_way = votes, work
        if before:
            self.close()  # no vote is pending when the ranks end
        return before

    def close(self) -> bool:
        """Wait for the pending vote and return its result; False without one."""
        if self._under_way is None:
            return False
        (votes, work), self._under_way = self._under_way, None
        work.wait()
        return bool(votes)
