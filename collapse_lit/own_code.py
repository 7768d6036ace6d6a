"""User code by its import path, installed or in the working directory."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from collapse_lit.errors import UserError


def imported(name: str, option: str) -> Any:
    """Import the object ``package.module.name`` without calling it.

    Args:
        name: Import path.
        option: The option that named it, for messages.

    Raises:
        UserError: The import failed.
    """
    path, _, attribute = name.rpartition(".")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return getattr(import_module(path), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{option}: {name!r} cannot be imported: {error}; install it, or start from the "
            "directory that holds it"
        ) from error
