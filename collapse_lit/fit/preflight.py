"""What can be known to be impossible before the first batch."""

import shutil
import subprocess

import torch
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_warn

from collapse_lit.callbacks.cluster_numbers import check_class_sizes
from collapse_lit.callbacks.recovery import RecoveryMonitor
from collapse_lit.data import CoarseDataModule
from collapse_lit.errors import UserError


def check_clusters(recovery: RecoveryMonitor, data: CoarseDataModule) -> None:
    """See that the training set has what its clusters need.

    Raises:
        UserError: A coarse class has fewer samples than clusters, ``k`` is a list of another
            length, or views of images are asked for and there are none.
    """
    hierarchy = data.hierarchy
    k = list(hierarchy.fine_per_coarse) if recovery.k == "given" else recovery.k
    coarse = hierarchy.coarse(data.labelled.train.labels)
    check_class_sizes(k, coarse, hierarchy.num_coarse, group=None)
    if any(recovery.views.values()) and len(data.image_shape) != 3:
        raise UserError("recovery.mirror and recovery.shift are for images; leave them out")


def check_length(trainer: Namespace) -> None:
    """See that the length of training is said.

    Raises:
        UserError: Nothing says when training ends.
    """
    if trainer.max_epochs is None:
        raise UserError(
            "trainer.max_epochs: say how many epochs to train; 0 measures the untrained network"
        )
    if trainer.max_epochs < 0 and trainer.max_steps < 0:
        raise UserError(
            "trainer.max_epochs=-1: the learning rate follows the length of training; say how "
            "many epochs, or trainer.max_steps"
        )


def warn_of_unused_gpu(trainer: Namespace) -> None:
    """Say that the machine has an NVIDIA GPU which this PyTorch cannot use.

    Lightning says that it trains on the CPU, and not why.
    """
    if trainer.accelerator != "auto" or torch.accelerator.is_available():
        return
    program = shutil.which("nvidia-smi")
    if program is None:
        return
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout.strip():
        built = torch.version.cuda
        why = (
            f"its driver may be too old for CUDA {built}, which this PyTorch was built for"
            if built
            else "this PyTorch was built for the CPU alone"
        )
        rank_zero_warn(
            f"This machine has an NVIDIA GPU and training does not use it: {why}. "
            "--trainer.accelerator cpu leaves this warning out."
        )
