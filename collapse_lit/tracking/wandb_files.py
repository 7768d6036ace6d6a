"""What W&B's own files on this machine hold: the truth after its process died with ours."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

LOG_BLOCK = 32768  # LevelDB's log format: records in blocks, each with a header of seven bytes
HEADER = 7


def forget_empty(folder: Path) -> None:
    """Remove what killed processes left below ``wandb/`` without a record in it.

    W&B writes in blocks, so this holds nothing; but ``wandb sync`` would stop there.
    """
    for file in folder.glob("*run-*/run-*.wandb"):
        if file.stat().st_size <= HEADER:
            shutil.rmtree(file.parent)


def history_rows(file: Path) -> list[dict[str, Any]]:
    """The logged rows of a ``run-ID.wandb`` file, as far as they reached the disk."""
    return [_values(row.item) for row in records(file, "history")]


def summary_row(file: Path) -> dict[str, Any]:
    """What was put into the summary by hand, the latest values."""
    values: dict[str, Any] = {}
    for summary in records(file, "summary"):
        values |= _values(summary.update)
    return values


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(file: Path, kind: str) -> Iterator[Any]:
    """The whole records of a kind in a ``run-ID.wandb`` file: "history", "summary", "run" ..."""
    from wandb.proto import wandb_internal_pb2

    for content in _contents(file.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == kind:
            yield getattr(record, kind)


def _contents(data: bytes) -> Iterator[bytes]:
    """Every whole record; one cut short by a kill ends the file."""
    position, parts = HEADER, b""  # W&B's own header has the same length
    while position + HEADER <= len(data):
        left_in_block = LOG_BLOCK - position % LOG_BLOCK
        if left_in_block < HEADER:  # too little for a header: padding
            position += left_in_block
            continue
        size = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        start = position + HEADER
        if kind not in (1, 2, 3, 4) or start + size > len(data):
            return
        parts = (b"" if kind in (1, 2) else parts) + data[start : start + size]
        position = start + size
        if kind in (1, 4):
            yield parts
