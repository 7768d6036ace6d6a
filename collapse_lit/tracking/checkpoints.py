"""Checkpoints that are there whole or not at all, and that execute no code when loaded."""

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
    """Writes a checkpoint beside its place and renames it there once it is on disk.

    Lightning's own saving goes through a file in the system's temporary directory, and moving that
    to another file system is a copy that a kill can cut short. The ``last.ckpt`` before is kept as
    ``previous.ckpt``.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save ``checkpoint`` to a local path.

        Raises:
            OSError: It cannot be written; what was there before is still there.
        """
        path = Path(path)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        keep = _keep_previous(path) if path.name == "last.ckpt" else contextlib.nullcontext()
        with keep:
            write_whole(path, buffer.getvalue())


@contextlib.contextmanager
def _keep_previous(last: Path) -> Iterator[None]:
    """Keep what is replaced inside as ``previous.ckpt``; at any moment one of both is whole."""
    kept = last.with_name(f".previous.ckpt.{os.getpid()}.partial")
    try:
        with contextlib.suppress(OSError):  # nothing there yet, or no hard links on these disks
            kept.hardlink_to(last)
        yield
        with contextlib.suppress(FileNotFoundError):
            kept.replace(last.with_name("previous.ckpt"))
    finally:
        kept.unlink(missing_ok=True)


def newest_checkpoint(
    run: RunDirectory, weights: Mapping[str, Tensor] | None = None
) -> Path | None:
    """The newest checkpoint that a run can go on from, None where there is none at all.

    One that is cut short, is of another network or would execute code is reported by name, and the
    one before it is taken: ``previous.ckpt`` or the newest ``epoch_NNN.ckpt``.

    Args:
        run: Where to look.
        weights: The state of the network that shall go on, if it is known.

    Raises:
        UserError: There are checkpoints and none can be used. To start anew would lose the run.
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
        except Exception as error:  # torch raises many kinds for a broken file
            reason = (str(error) or repr(error)).splitlines()[0]
            rank_zero_warn(
                f"{path} cannot be read ({reason}); trying the one before", category=UserWarning
            )
            broken.append(path.name)
    if broken:
        raise UserError(
            f"run_dir: {run.checkpoints} holds no checkpoint that can be read "
            f"({', '.join(broken)}: see above). To start from the first epoch, move them away or "
            "choose another run_dir"
        )
    return None


def check_checkpoint(path: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """See that a training run can go on from a file.

    Raises:
        ValueError: It is no checkpoint of a training run, or one of another network.
        Exception: What ``torch.load(weights_only=True)`` raises for a broken or hostile file.
    """
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(state, dict) or not {"state_dict", "loops", "epoch"} <= state.keys():
        raise ValueError("no checkpoint of a training run")
    if weights is None:
        return
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = {name: tuple(tensor.shape) for name, tensor in state["state_dict"].items()}
    other = sorted(name for name in shapes | found if shapes.get(name) != found.get(name))
    if other:
        raise ValueError(f"of another network: {', '.join(other[:3])} differ")


def check_space(run: RunDirectory, weights: Mapping[str, Tensor]) -> None:
    """See that the disk has room for the checkpoints of a run.

    Raises:
        UserError: It has not.
    """
    one = 2 * sum(tensor.nbytes for tensor in weights.values())  # weights and momentum
    needed = 3 * one  # the last, the one before and the one being written
    there = sum(path.stat().st_size for path in run.checkpoints.glob("*.ckpt"))
    free = shutil.disk_usage(run.path).free
    if free < max(needed - there, one):
        raise UserError(
            f"run_dir: {run.path} has {free / 1e6:.1f} MB free, and checkpoints of this network "
            f"take {needed / 1e6:.1f} MB; free some or choose another run_dir"
        )
