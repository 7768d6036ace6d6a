"""One process of a test that needs several: ``python tests/ranks.py FOLDER RANK``.

A script, so that a rank imports torch and the test's module and nothing else: a spawned process
would import pytest, the conftest and Lightning again, which takes longer than the tests.
"""

import importlib.util
import os
import sys
from pathlib import Path

import torch
from torch import distributed as dist


def main(folder: Path, rank: int) -> None:
    """Join the group, call the function that ``folder/task`` names, leave its result there."""
    file, name, world_size, args = torch.load(folder / "task", weights_only=False)
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
    )
    try:
        torch.save(getattr(module, name)(rank, dist.group.WORLD, *args), folder / f"{rank}.pt")
        dist.barrier()  # no rank leaves while another still talks to it
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    # Threads of gloo may still free tensors. While Python shuts down, that aborts the process.
    sys.stderr.flush()
    os._exit(0)
