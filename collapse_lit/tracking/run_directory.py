"""The run directory: the files of a run, which survive a kill at any moment."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lit.errors import UserError
from collapse_lit.tracking.whole_files import (
    json_values,
    naming,
    read_arrays,
    write_arrays,
    write_json,
    write_whole,
)

LIBRARIES = ("collapse-lit", "lightning", "torch", "torchvision", "torchmetrics", "wandb", "numpy")

Row = dict[str, Any]


class RunDirectory:
    """Paths and files of one run, under names that users and scripts rely on.

    Every file is replaced completely, or extended by one complete line. A reader or the next
    process of the same run therefore never sees an incomplete file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.identity = self.path / "run.json"
        self.history = self.path / "history.jsonl"
        self.summary = self.path / "summary.json"
        self.checkpoints = self.path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.snapshots = self.path / "snapshots"
        self.thumbnails = self.snapshots / "thumbnails.npz"
        self.figures = self.path / "figures"
        self.report = self.path / "report.html"
        self._before: set[Path] = set()
        self._made: list[Path] = []

    def create(self) -> None:
        """Make the directory and check that it is writable.

        Raises:
            UserError: The directory or one of its files cannot be written.
        """
        self._before = set(self.path.iterdir()) if self.path.is_dir() else set()
        self._made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            for folder in (self.path, self.checkpoints, self.snapshots, self.figures):
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".writable-{os.getpid()}.partial"
                probe.write_bytes(b"x")
                probe.unlink(missing_ok=True)  # another rank may have removed it
            if self.history.exists():
                self.history.open("ab").close()
        except OSError as error:
            raise UserError(
                f"run_dir: cannot write to {error.filename} ({error.strerror}); solve this "
                "problem, or choose another run_dir"
            ) from error

    def undo(self) -> None:
        """Remove everything made since :meth:`create`, unless an epoch or a measurement is kept.

        Only the writing process calls this, so that a refused start leaves no files behind.
        """
        if self.history.exists() or any(self.checkpoints.rglob("*.ckpt")):
            return
        made = set(self.path.iterdir()) - self._before if self.path.is_dir() else set()
        for path in made:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process has written a file there
            for folder in self._made:
                folder.rmdir()

    def clean(self) -> None:
        """Remove unfinished files of killed processes; only the writing process calls this."""
        for folder in (self.path, self.checkpoints, self.snapshots, self.figures):
            for partial in folder.glob(".*.partial"):
                partial.unlink(missing_ok=True)

    def identify(self, seed: int) -> dict[str, Any]:
        """The identity of this run: read from ``run.json``, or created and written at the start.

        Raises:
            UserError: The file cannot be read.
        """
        if self.identity.exists():
            try:
                return json.loads(self.identity.read_text())
            except ValueError as error:
                raise UserError(f"run_dir: {self.identity} is not valid JSON ({error})") from error
        identity = {
            "name": self.path.name,
            "wandb_id": os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4),  # a sweep sets it
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "git_commit": _git_commit(),
            "versions": {library: version(library) for library in LIBRARIES},
            "python": sys.version.split()[0],
            "gpus": _gpus(),
            "seed": seed,
            "command": ["collapse-lit", *sys.argv[1:]],
        }
        write_json(self.identity, identity)
        return identity

    def read_history(self) -> list[Row]:
        """All measured epochs, oldest first, without an incomplete last line of a killed process.

        Raises:
            UserError: A complete line is not valid JSON.
        """
        if not self.history.exists():
            return []
        lines = self.history.read_text().split("\n")
        complete = lines[:-1]  # the rest after the last newline is empty or incomplete
        try:
            return [json.loads(line) for line in complete if line]
        except ValueError as error:
            raise UserError(
                f"run_dir: {self.history} is not a valid JSON Lines file ({error})"
            ) from error

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Append one epoch, unless it exists; it is on disk when this returns.

        Raises:
            OSError: The row cannot be written.
        """
        rows = self.read_history()
        if any(known["epoch"] == row["epoch"] for known in rows):
            return
        line = (json.dumps(json_values(row)) + "\n").encode()
        with naming(self.history), self.history.open("ab") as file:
            file.truncate(_end_of_last_line(self.history))
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def forget_history_after(self, epoch: int) -> int:
        """Drop epochs after ``epoch``, whose weights are lost; return their number."""
        rows = self.read_history()
        kept = [row for row in rows if row["epoch"] <= epoch]
        if len(kept) < len(rows):
            text = "".join(json.dumps(row) + "\n" for row in kept)
            write_whole(self.history, text.encode())
        return len(rows) - len(kept)

    def write_snapshot(self, epoch: int, arrays: Mapping[str, Any]) -> None:
        """Write the arrays for the figures of one epoch."""
        write_arrays(self.snapshots / f"epoch_{epoch:03d}.npz", arrays)

    def read_snapshots(self) -> dict[int, dict[str, np.ndarray]]:
        """Arrays of every snapshot by epoch, oldest first.

        Raises:
            UserError: A snapshot is broken, or it would run code.
        """
        snapshots = {
            int(path.stem.removeprefix("epoch_")): read_arrays(path)
            for path in self.snapshots.glob("epoch_*.npz")
        }
        return dict(sorted(snapshots.items()))

    def write_thumbnails(self, arrays: Mapping[str, Any]) -> None:
        """Write thumbnails of the samples in the snapshots' scatter plot."""
        write_arrays(self.thumbnails, arrays)

    def read_thumbnails(self) -> dict[str, np.ndarray] | None:
        """Read the thumbnails of :meth:`write_thumbnails`; None without pictures.

        Raises:
            UserError: The file is broken, or it would run code.
        """
        return read_arrays(self.thumbnails) if self.thumbnails.exists() else None


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _git_commit() -> str | None:
    """Git commit of the working directory, None outside git."""
    return _said_by("git", "rev-parse", "HEAD") or None


def _gpus() -> list[str]:
    """Names of the machine's NVIDIA GPUs, from the driver: torch would allocate memory."""
    return _said_by("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()


def _said_by(*command: str) -> str:
    """The output of a program; empty if the program is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
