"""Read CSV files of any spreadsheet, in encodings that can be recognised reliably."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collapse_lit.errors import UserError

DELIMITERS = ",;\t"
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_csv(path: Path, needed: Sequence[str]) -> dict[str, list[str]]:
    """The columns of a CSV file with a header, separated by commas, semicolons or tabs.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a byte order mark.
        needed: columns that the file must have.

    Raises:
        UserError: The file cannot be read, a column of ``needed`` is missing, a column occurs
            twice, or a row and the header differ in length.
    """
    with readable(path):
        text = _text(path)
        delimiter = next((d for d in DELIMITERS if set(needed) <= set(_header(text, d))), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = _header(text, delimiter)
        next(reader, None)
        for name in needed:
            if name not in header:
                raise UserError(
                    f"{path}: its first line must be a header with {name!r}; it is "
                    f"{','.join(header)!r}"
                )
            if header.count(name) > 1:
                raise UserError(f"{path}: its header has the column {name!r} twice")
        rows = []
        for row in reader:
            if row and len(row) != len(header):
                raise UserError(
                    f"{path}: line {reader.line_num} does not have the {len(header)} fields "
                    f"of the header {','.join(header)!r}"
                )
            if row:
                rows.append(row)
    if not rows:
        raise UserError(f"{path}: it has a header but no rows")
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn any error while reading ``path`` into one message that names the file."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # NumPy, pandas and csv raise many error types
        raise UserError(f"{path}: {_why(error)}") from error


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}: line {line} is not in UTF-8; save the file as UTF-8") from error


def _header(text: str, delimiter: str) -> list[str]:
    first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    return [name.strip() for name in first]


def _why(error: Exception) -> str:
    if "allow_pickle" in str(error):
        return (
            "it contains Python objects, which could run code when loaded; save plain arrays, "
            "such as labels.astype(str)"
        )
    return f"it cannot be read ({error})"
