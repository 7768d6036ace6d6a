"""Whether any rank asks to stop, agreed on beside the training: no batch waits for it."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class Vote:
    """A yes of any rank becomes a yes of all, one call later.

    The flags are summed on the CPU, by gloo, while the batch is trained on. Asking the device in
    every batch would make the host wait for it.

    Args:
        world_size: Number of ranks; with one, a yes counts at once.
    """

    def __init__(self, world_size: int = 1) -> None:
        self._group: Any = dist.new_group(backend="gloo") if world_size > 1 else None
        self._under_way: tuple[Tensor, dist.Work] | None = None

    def cast(self, mine: bool) -> bool:
        """Say yes or no; called on all ranks alike.

        Returns:
            Whether any rank said yes at the call before; with one process, at this call.
        """
        if self._group is None:
            return mine
        before = self.close()
        votes = torch.tensor([mine], dtype=torch.int32)
        work = dist.all_reduce(votes, dist.ReduceOp.MAX, self._group, async_op=True)
        assert work is not None  # None where this process is not in the group
        self._under_way = votes, work
        if before:
            self.close()  # nothing is under way when the ranks part
        return before

    def close(self) -> bool:
        """Wait for the vote under way, and tell how it went; no where none is."""
        if self._under_way is None:
            return False
        (votes, work), self._under_way = self._under_way, None
        work.wait()
        return bool(votes)
