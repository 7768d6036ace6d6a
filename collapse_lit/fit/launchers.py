"""Match the trainer to the processes that torchrun or srun started."""

import os

from jsonargparse import Namespace
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from collapse_lit.errors import UserError


def cluster_environment() -> list[ClusterEnvironment]:
    """The SLURM environment, if SLURM and not torchrun started this process. The batch script
    requeues the job.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def started_processes() -> tuple[str, int, int] | None:
    """The launcher of this process: its name, the number of processes, and the number of nodes."""
    read = os.environ.get
    if TorchElasticEnvironment.detect():
        processes, on_each = int(read("WORLD_SIZE", 1)), int(read("LOCAL_WORLD_SIZE", 1))
        return "torchrun", processes, processes // on_each
    if SLURMEnvironment.detect() and "SLURM_STEP_NUM_TASKS" in os.environ:  # inside a step of srun
        return "srun", int(read("SLURM_STEP_NUM_TASKS", 1)), int(read("SLURM_STEP_NUM_NODES", 1))
    return None


def join_processes(trainer: Namespace) -> None:
    """Let ``trainer.devices: auto`` mean the started processes, not this node's devices.

    On a CPU "auto" means one device, so each process would train its own run in the same directory.

    Raises:
        UserError: Other numbers are requested. The trainer would then wait for missing processes,
            or each process would train alone.
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
            f"started {processes} processes: leave both out, or set them to {processes // nodes} "
            "and "
            f"{nodes}"
        )
