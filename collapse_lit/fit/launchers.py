"""Processes that torchrun or srun has started: the trainer is to count as many as there are."""

import os

from jsonargparse import Namespace
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from collapse_lit.errors import UserError


def cluster_environment() -> list[ClusterEnvironment]:
    """SLURM, where it and not torchrun started this process; the batch script requeues the job."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def started_processes() -> tuple[str, int, int] | None:
    """Who started this process beside others: its name, how many in all, and on how many nodes."""
    read = os.environ.get
    if TorchElasticEnvironment.detect():
        processes, on_each = int(read("WORLD_SIZE", 1)), int(read("LOCAL_WORLD_SIZE", 1))
        return "torchrun", processes, processes // on_each
    if SLURMEnvironment.detect() and "SLURM_STEP_NUM_TASKS" in os.environ:  # in a step of srun's
        return "srun", int(read("SLURM_STEP_NUM_TASKS", 1)), int(read("SLURM_STEP_NUM_NODES", 1))
    return None


def join_processes(trainer: Namespace) -> None:
    """Let ``trainer.devices: auto`` be the processes that were started, not this node's devices.

    On a CPU "auto" is one device, and each process would train a run of its own in one directory.

    Raises:
        UserError: Other numbers are asked for, so that the trainer would wait for processes that
            nobody starts, or each process train alone.
    """
    started = started_processes()
    if started is None:
        return
    launcher, processes, nodes = started
    if trainer.devices == "auto":
        trainer.devices, trainer.num_nodes = processes // nodes, nodes
    asked = str(trainer.devices)
    if asked.isdecimal() and int(asked) * trainer.num_nodes != processes:
        raise UserError(
            f"trainer.devices={asked} on trainer.num_nodes={trainer.num_nodes}, but {launcher} "
            f"started {processes} processes: leave both out, or say {processes // nodes} and "
            f"{nodes}"
        )
