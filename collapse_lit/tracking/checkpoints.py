"""Checkpoints that are there whole or not at all, and that execute no code when loaded."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from collapse_lit.tracking.run_directory import RunDirectory, write_whole


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it there once it is on disk.

    Lightning's own saving goes through a file in the system's temporary directory, and moving that
    to another file system is a copy that a kill can cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save ``checkpoint`` to a local path."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_whole(Path(path), buffer.getvalue())


def newest_checkpoint(run: RunDirectory) -> Path | None:
    """The newest checkpoint that can be read, None where there is none.

    A broken ``last.ckpt`` is reported by name and the newest ``epoch_NNN.ckpt`` taken instead.
    """
    kept = sorted(run.checkpoints.glob("epoch_*.ckpt"), reverse=True)
    for path in (run.last_checkpoint, *kept):
        if not path.exists():
            continue
        try:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            warnings.warn(f"{path} cannot be read ({error}); trying the one before", stacklevel=2)
            continue
        if "state_dict" in state and "loops" in state:
            return path
        warnings.warn(f"{path} is no checkpoint of a training run; trying another", stacklevel=2)
    return None
