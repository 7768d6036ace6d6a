"""bfloat16 only where it is faster."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # instructions of x86 and of ARM


def avoid_slow_precision(trainer: Namespace, arguments: Sequence[str]) -> None:
    """Let a file's ``precision: bf16-mixed`` be ``32-true`` on a CPU without bfloat16 instructions.

    PyTorch emulates them there, which is slower than float32 and gains nothing. A run's config.yaml
    says what was used. ``--trainer.precision`` among the arguments of the command is left as it is.
    """
    if any(word.startswith("--trainer.precision") for word in arguments):
        return
    if trainer.precision not in ("bf16-mixed", "bf16") or not _on_cpu(trainer.accelerator):
        return
    known = _capabilities()
    if known and not any(known.get(name) for name in BFLOAT16):
        trainer.precision = "32-true"
        rank_zero_info(
            "This CPU has no bfloat16 instructions: trainer.precision is 32-true, which is faster"
        )


def _on_cpu(accelerator: Any) -> bool:
    """Whether Lightning would train on the CPU."""
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def _capabilities() -> Mapping[str, Any]:
    """What instructions this CPU has; nothing where PyTorch is too old to say."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
