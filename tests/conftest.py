import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning  # noqa: F401  # its loggers get their handlers on import
import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing as mp

# Lightning's handlers write to the stream that was stderr at import, closed by the next test.
for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
    logging.getLogger(name).handlers.clear()
    logging.getLogger(name).propagate = True


@pytest.fixture
def run_on_ranks(tmp_path: Path) -> Callable[..., list[Any]]:
    """``run_on_ranks(fn, world_size, *args)``: results of ``fn(rank, group, *args)`` by rank.

    Each rank is a spawned process of a gloo group; ``fn`` must be a module's own function.
    """

    def run(fn: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
        folder = tmp_path / f"{fn.__name__}-{world_size}"
        folder.mkdir()
        mp.spawn(_rank, (world_size, folder, fn, args), nprocs=world_size)
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]

    return run


def _rank(rank: int, world_size: int, folder: Path, fn: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
    )
    try:
        torch.save(fn(rank, dist.group.WORLD, *args), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
