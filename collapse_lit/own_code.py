"""Code of the user's, by its import path: installed, or in the directory that one starts from."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from collapse_lit.errors import UserError


def imported(name: str, option: str) -> Any:
    """The object ``package.module.name``; nothing of it is called.

    Args:
        name: Import path.
        option: What it was given by, for messages.

    Raises:
        UserError: It cannot be imported.
    """
    path, _, attribute = name.rpartition(".")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return getattr(import_module(path), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{option}: {name!r} cannot be imported: {error}; it must be installed, or lie in the "
            "directory that you start from"
        ) from error
