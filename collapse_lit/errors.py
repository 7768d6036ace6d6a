"""The one error that means: the user can put this right."""


class UserError(ValueError):
    """A mistake in a configuration, a path or a data set.

    The message names the key or the file and says what would be right. The command line prints it
    alone on stderr and exits with code 2; library users get an ordinary ``ValueError``.
    """
