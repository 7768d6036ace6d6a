"""Write files completely or not at all, even after a kill or a power cut."""

import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from collapse_lit.errors import UserError


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as .npz, completely or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz by name, without running code.

    Raises:
        UserError: The file is broken.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(
            f"run_dir: {path} cannot be read ({error}); remove it to draw the figures without it"
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, even after a kill or a power cut.

    If the path is a link, its target is written. A device or a pipe is written to, not replaced.

    Raises:
        OSError: The file cannot be written; the error names it, and the old file is still there.
    """
    if is_stream(path):
        with naming(path), path.open("wb") as stream:  # a folder raises "is a directory"
            stream.write(content)
        return
    if path.is_symlink():
        path = path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Whether a path is written to and not replaced, such as /dev/stdout, a pipe or a device."""
    top = path.absolute().parts[1:3]
    of_the_system = top[:1] in (("dev",), ("proc",)) and top != ("dev", "shm")
    return path.exists() and (of_the_system or not path.is_file())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file name to an error, because an error of a full disk has none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def plain_text(name: str | Path) -> str:
    r"""A file name as printable text; bytes that are not UTF-8 become ``\xe9``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON, completely or not at all; nan and infinity become null."""
    write_whole(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Strict JSON as the content of a file; nan and infinity become null."""
    return (json.dumps(json_values(value), indent=2) + "\n").encode()


def json_values(value: Any) -> Any:
    """Replace nan and infinity, which JSON does not support, by None."""
    if isinstance(value, Mapping):
        return {key: json_values(item) for key, item in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return [json_values(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
