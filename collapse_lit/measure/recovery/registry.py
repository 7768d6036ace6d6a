"""A registry of functions by name, for the parts of a space's name."""

import re
from typing import TypeVar

T = TypeVar("T")


class Registry(dict[str, T]):
    """Entries by name, in the order in which they were registered.

    Args:
        what: The type of entry, for messages.
        pattern: Regular expression that must match the whole name.
    """

    def __init__(self, what: str, pattern: str) -> None:
        super().__init__()
        self.what = what
        self.pattern = pattern

    def add(self, name: str, entry: T) -> None:
        """Register an entry.

        Raises:
            ValueError: The name is taken, or it does not match the pattern.
        """
        if re.fullmatch(self.pattern, name) is None:
            raise ValueError(
                f"a {self.what} cannot be named {name!r}: the name must match {self.pattern}"
            )
        if name in self:
            raise ValueError(f"a {self.what} named {name!r} already exists; choose another name")
        self[name] = entry
