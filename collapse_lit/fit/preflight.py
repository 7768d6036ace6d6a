"""Checks for impossible requests before the first batch."""

import shutil
import subprocess

import torch
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from collapse_lit.callbacks.cluster_numbers import check_class_sizes
from collapse_lit.callbacks.recovery import RecoveryMonitor
from collapse_lit.data import CoarseDataModule
from collapse_lit.errors import UserError


def check_clusters(recovery: RecoveryMonitor, data: CoarseDataModule) -> None:
    """Check that the training set allows the requested clusters.

    Raises:
        UserError: A coarse class has fewer samples than clusters, ``k`` is a list of the wrong
            length, or image views are requested for data without images.
    """
    hierarchy = data.hierarchy
    k = list(hierarchy.fine_per_coarse) if recovery.k == "given" else recovery.k
    coarse = hierarchy.coarse(data.labelled.train.labels)
    check_class_sizes(k, coarse, hierarchy.num_coarse, group=None)
    if any(recovery.views.values()) and len(data.image_shape) != 3:
        raise UserError(
            "recovery.mirror and recovery.shift need images, and these data are not; leave both out"
        )


def check_length(trainer: Namespace) -> None:
    """Check that the length of training is given.

    Raises:
        UserError: No option ends training.
    """
    if trainer.max_epochs is None:
        raise UserError(
            "trainer.max_epochs is missing: give the number of epochs to train; 0 measures the "
            "untrained network"
        )
    if trainer.max_epochs < 0 and trainer.max_steps < 0:
        raise UserError(
            "trainer.max_epochs=-1: the learning rate depends on the length of training; give a "
            "number of epochs, or trainer.max_steps"
        )


def tell_of_large_steps(world_size: int, batch_size: int) -> None:
    """Say how many images a step uses if several processes train.

    ``trainer.devices: auto`` means as many as there are, and the learning rate stays the same.
    """
    if world_size > 1:
        rank_zero_info(
            f"{world_size} processes train, so each step uses {world_size} × {batch_size} = "
            f"{world_size * batch_size:,} images; choose model.lr accordingly"
        )


def warn_of_unused_gpu(trainer: Namespace) -> None:
    """Warn that this PyTorch cannot use the machine's NVIDIA GPU.

    Lightning reports that it trains on the CPU, but not the reason.
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
            f"its driver may be too old for CUDA {built} of this PyTorch"
            if built
            else "this PyTorch was built for the CPU only"
        )
        rank_zero_warn(
            f"This machine has an NVIDIA GPU, but training does not use it: {why}. "
            "--trainer.accelerator cpu turns this warning off."
        )
