"""Names that stand for functions: what a part of a space's name may be."""

import re
from typing import TypeVar

T = TypeVar("T")


class Registry(dict[str, T]):
    """Entries by name, in the order in which they were registered.

    Args:
        what: What an entry is, for messages.
        pattern: Regular expression that the whole of a name matches.
    """

    def __init__(self, what: str, pattern: str) -> None:
        super().__init__()
        self.what = what
        self.pattern = pattern

    def add(self, name: str, entry: T) -> None:
        """Register an entry.

        Raises:
            ValueError: The name is taken, or could not be read off a space's name.
        """
        if re.fullmatch(self.pattern, name) is None:
            raise ValueError(
                f"{self.what} cannot be called {name!r}: it has to match {self.pattern}"
            )
        if name in self:
            raise ValueError(f"there is a {self.what} called {name!r} already")
        self[name] = entry
