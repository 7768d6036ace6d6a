"""The one error that means: the user can put this right."""

import os

EXIT_MISTAKE = 2  # of the user's; argparse's own code
EXIT_STOPPED = os.EX_TEMPFAIL  # asked to stop: the same command again goes on
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells count it: its user, not a scheduler, starts it again


class UserError(ValueError):
    """A mistake in a configuration, a path or a data set.

    The message names the key or the file and says what would be right. The command line prints it
    alone on stderr and exits with code 2; library users get an ordinary ``ValueError``.
    """
