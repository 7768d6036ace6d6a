"""The error for mistakes that the user can fix."""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_MISTAKE = 2  # a user's mistake; argparse uses the same code
EXIT_STOPPED = 75  # asked to stop (EX_TEMPFAIL of sysexits.h); the same command continues
EXIT_INTERRUPTED = 130  # by Ctrl-C, the shells' code; the user restarts it, no scheduler does


class UserError(ValueError):
    """A mistake in a configuration, a path or a data set.

    The message names the key or the file and says how to fix it. The command line prints only this
    message on stderr and exits with code 2. Library users get a ``ValueError``.
    """


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """The end of a message about a mistyped name: similar known names, or an empty string."""
    by_lower_case = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), by_lower_case, n=most)
    words = " or ".join(repr(by_lower_case[close]) for close in near)
    return f"; did you mean {words}?" if near else ""
