"""Checkpoints that are written completely or not at all, and that run no code when loaded."""

import contextlib
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from collapse_lit.errors import UserError
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import write_whole


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file beside the target, then renames it.

    Lightning writes to the system's temporary directory. Moving such a file to another file system
    copies it, and a kill can interrupt the copy. The old ``last.ckpt`` is kept as
    ``previous.ckpt``.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save ``checkpoint`` to a local path.

        Raises:
            OSError: The file cannot be written; the old file is still there.
        """
        path = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        keep = _keep_previous(path) if path.name == "last.ckpt" else contextlib.nullcontext()
        with keep:
            write_whole(path, buffer.getvalue())


@contextlib.contextmanager
def _keep_previous(last: Path) -> Iterator[None]:
    """Keep the replaced file as ``previous.ckpt``, so that one of the two is always complete."""
    kept = last.with_name(f".previous.ckpt.{os.getpid()}.partial")
    try:
        with contextlib.suppress(OSError):  # no file yet, or the file system has no hard links
            kept.hardlink_to(last)
        yield
        with contextlib.suppress(FileNotFoundError):
            kept.replace(last.with_name("previous.ckpt"))
    finally:
        kept.unlink(missing_ok=True)


def newest_checkpoint(
    run: RunDirectory, weights: Mapping[str, Tensor] | None = None
) -> Path | None:
    """The newest usable checkpoint of a run, None if there are no checkpoints.

    A checkpoint is unusable if it is incomplete, belongs to another network or would run code. A
    warning names it, and the one before is used: ``previous.ckpt`` or the newest
    ``epoch_NNN.ckpt``.

    Args:
        run: The run directory.
        weights: The state of the network to train, if known.

    Raises:
        UserError: There are checkpoints, but none is usable. A new start would lose the run.
    """
    older = [run.checkpoints / "previous.ckpt", *run.checkpoints.glob("epoch_*.ckpt")]
    older = sorted(filter(Path.exists, older), key=lambda path: path.stat().st_mtime, reverse=True)
    broken = []
    for path in (run.last_checkpoint, *older):
        if not path.exists():
            continue
        try:
            check_checkpoint(path, weights)
            return path
        except Exception as error:  # torch raises many error types for a broken file
            reason = (str(error) or repr(error)).splitlines()[0]
            rank_zero_warn(
                f"{path} cannot be used ({reason}); trying the previous checkpoint",
                category=UserWarning,
            )
            broken.append(path.name)
    if broken:
        raise UserError(
            f"run_dir: {run.checkpoints} has no usable checkpoint ({', '.join(broken)}: see "
            "above). To start from the first epoch, move them away or choose another run_dir"
        )
    return None


def check_checkpoint(path: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Check that training can continue from a file.

    Raises:
        ValueError: The file is not a checkpoint of a training run, or it belongs to another
            network.
        Exception: Any error of ``torch.load(weights_only=True)`` for a broken or hostile file.
    """
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(state, dict) or not {"state_dict", "loops", "epoch"} <= state.keys():
        raise ValueError("not a checkpoint of a training run")
    if weights is None:
        return
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = {name: tuple(tensor.shape) for name, tensor in state["state_dict"].items()}
    other = sorted(name for name in shapes | found if shapes.get(name) != found.get(name))
    if other:
        raise ValueError(f"from another network: {', '.join(other[:3])} differ")


def check_space(run: RunDirectory, weights: Mapping[str, Tensor]) -> None:
    """Check that the disk has room for the checkpoints of a run.

    Raises:
        UserError: The disk is too full.
    """
    one = 2 * sum(tensor.nbytes for tensor in weights.values())  # weights and momentum
    needed = 3 * one  # the last, the previous and the one being written
    there = sum(path.stat().st_size for path in run.checkpoints.glob("*.ckpt"))
    free = shutil.disk_usage(run.path).free
    if free < max(needed - there, one):
        raise UserError(
            f"run_dir: {run.path} has {free / 1e6:.1f} MB free, but checkpoints of this network "
            f"need {needed / 1e6:.1f} MB; free some space or choose another run_dir"
        )
