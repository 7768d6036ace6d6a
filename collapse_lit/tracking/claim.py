"""A lock that lets only one process train in a run directory."""

import errno
import fcntl
import os
import weakref

from collapse_lit.errors import UserError
from collapse_lit.tracking.run_directory import RunDirectory


class Claim:
    """A lock on a run directory, which ends with ``release()`` or with the process.

    Two processes of one run would write each epoch twice. The kernel holds the lock, so a kill
    leaves no lock behind, and it works between nodes that share the directory. On a file system
    without locks, nothing is locked.

    Args:
        run: An existing run directory.

    Raises:
        UserError: Another process holds the lock, or the lock file belongs to another user.
    """

    def __init__(self, run: RunDirectory) -> None:
        path = run.path / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"run_dir: cannot write to {path} ({error.strerror})") from error
        self.release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise UserError(
                    f"run_dir: another process is training in {run.path}; wait for it, stop it, or "
                    "choose another run_dir"
                ) from error
