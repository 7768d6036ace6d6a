"""Use bfloat16 only if it is faster."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # instructions of x86 and of ARM


def avoid_slow_precision(trainer: Namespace, arguments: Sequence[str]) -> None:
    """Replace ``precision: bf16-mixed`` of a file by ``32-true`` on a CPU without bfloat16.

    PyTorch emulates bfloat16 there, which is slower than float32. A run's config.yaml records the
    precision used. ``--trainer.precision`` on the command line is not changed.
    """
    if any(word.startswith("--trainer.precision") for word in arguments):
        return
    if trainer.precision not in ("bf16-mixed", "bf16") or not _on_cpu(trainer.accelerator):
        return
    known = _capabilities()
    if known and not any(known.get(name) for name in BFLOAT16):
        trainer.precision = "32-true"
        rank_zero_info(
            "This CPU has no bfloat16 instructions: training uses trainer.precision 32-true, "
            "which is faster"
        )


def _on_cpu(accelerator: Any) -> bool:
    """Whether Lightning would train on the CPU."""
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def _capabilities() -> Mapping[str, Any]:
    """The instruction sets of this CPU; empty if PyTorch is too old to list them."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
