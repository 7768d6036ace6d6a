"""The one error that means: the user can put this right."""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_MISTAKE = 2  # of the user's; argparse's own code
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: asked to stop: the same command again goes on
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells count it: its user, not a scheduler, starts it again


class UserError(ValueError):
    """A mistake in a configuration, a path or a data set.

    The message names the key or the file and says what would be right. The command line prints it
    alone on stderr and exits with code 2; library users get an ordinary ``ValueError``.
    """


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """The end of a message about a mistyped name: what is like it, or nothing."""
    by_lower_case = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), by_lower_case, n=most)
    words = " or ".join(repr(by_lower_case[close]) for close in near)
    return f"; did you mean {words}?" if near else ""
