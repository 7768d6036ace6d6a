"""``collapse-lit`` on a slow disk, with what it is doing at any moment in the file ``PHASE_FILE``.

For tests that kill it on purpose in one of these phases.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

PHASE_FILE = Path(os.environ["PHASE_FILE"])
SLOW_DISK = 0.1  # seconds a write takes at least, so that a kill can come amid one


def phase(owner: Any, method: str, name: str) -> None:
    """Let ``owner.method`` say that it runs."""
    original = getattr(owner, method)

    def told(*args: Any, **kwargs: Any) -> Any:
        PHASE_FILE.write_text(name)
        result = original(*args, **kwargs)
        PHASE_FILE.write_text("between")
        return result

    setattr(owner, method, told)


def slow_fsync(descriptor: int, fsync: Any = os.fsync) -> None:
    time.sleep(SLOW_DISK)
    fsync(descriptor)


PHASE_FILE.write_text("starting")
from collapse_lit import training  # noqa: E402
from collapse_lit.callbacks.monitor import Monitor  # noqa: E402
from collapse_lit.callbacks.pictures import RunPictures  # noqa: E402
from collapse_lit.cli import main  # noqa: E402
from collapse_lit.models import CoarseClassifier  # noqa: E402
from collapse_lit.tracking.checkpoints import WholeCheckpointIO  # noqa: E402
from collapse_lit.tracking.run_directory import RunDirectory  # noqa: E402

os.fsync = slow_fsync
phase(training, "newest_checkpoint", "reading the checkpoint")
phase(CoarseClassifier, "training_step", "training")
phase(Monitor, "_run", "measuring")
phase(WholeCheckpointIO, "save_checkpoint", "writing the checkpoint")
phase(RunDirectory, "write_snapshot", "writing the snapshot")
phase(RunDirectory, "append_history", "writing the history")
phase(RunPictures, "_draw", "drawing")
sys.exit(main(sys.argv[1:]))
