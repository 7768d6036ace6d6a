"""Read W&B's local files, which show what was logged before W&B's process died."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LOG_BLOCK = 32768  # LevelDB's log format: blocks of records, each with a header of seven bytes
HEADER = 7


def forget_empty(folder: Path) -> None:
    """Remove files of killed processes below ``wandb/`` that have no record.

    W&B writes in blocks, so these files are empty, but ``wandb sync`` would stop at them.
    """
    for file in folder.glob("*run-*/run-*.wandb"):
        if file.stat().st_size <= HEADER:
            shutil.rmtree(file.parent)


def history_rows(file: Path) -> list[dict[str, Any]]:
    """The logged rows of a ``run-ID.wandb`` file that reached the disk."""
    return [_values(row.item) for row in records(file, "history")]


def summary_row(file: Path) -> dict[str, Any]:
    """The latest values that were set in the summary explicitly."""
    values: dict[str, Any] = {}
    for summary in records(file, "summary"):
        values |= _values(summary.update)
    return values


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(file: Path, kind: str) -> Iterator[Any]:
    """The complete records of a kind in a ``run-ID.wandb`` file: "history", "summary", "run" ..."""
    from wandb.proto import wandb_internal_pb2

    for content in _contents(file.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == kind:
            yield getattr(record, kind)


def _contents(data: bytes) -> Iterator[bytes]:
    """Every complete record; an incomplete record of a killed process ends the file."""
    position, parts = HEADER, b""  # W&B's file header has the same length
    while position + HEADER <= len(data):
        left_in_block = LOG_BLOCK - position % LOG_BLOCK
        if left_in_block < HEADER:  # too short for a header, so padding
            position += left_in_block
            continue
        size = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]  # 1 complete, 2 first, 3 middle, 4 last part
        start = position + HEADER
        if kind not in (1, 2, 3, 4) or start + size > len(data):
            return
        parts = (b"" if kind in (1, 2) else parts) + data[start : start + size]
        position = start + size
        if kind in (1, 4):
            yield parts
