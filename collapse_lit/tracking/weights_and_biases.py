"""The W&B side of a run: the same run after every restart, never a prompt."""

import netrc
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, WandbLogger

from collapse_lit.tracking.run_directory import RunDirectory

# Everything that is measured once an epoch is drawn against it.
BY_EPOCH = ("train/*", "test/*", "collapse*", "recovery/*", "figures/*")


def wandb_logger(
    run: RunDirectory,
    identity: Mapping[str, Any],
    mode: Literal["auto", "online", "offline", "disabled"],
    project: str,
    config: Mapping[str, Any],
) -> WandbLogger | bool:
    """A logger bound to the run's own id; False when disabled.

    Args:
        run: W&B keeps its files in ``run.path / "wandb"``, offline too.
        identity: Content of ``run.json``.
        mode: "auto" is online where a key is found, else offline.
        project: W&B project.
        config: The whole configuration, shown in W&B.
    """
    if mode == "auto":
        mode = "online" if has_key() else "offline"
    if mode == "disabled":
        return False
    import wandb

    experiment = wandb.init(
        project=os.environ.get("WANDB_PROJECT", project),
        name=identity["name"],
        id=identity["wandb_id"],
        dir=run.path,
        resume="allow",
        mode=mode,
        config=dict(config),
        allow_val_change=True,
        # A progress bar redraws the terminal many times a second: no use in W&B's copy of it.
        settings=wandb.Settings(console="off", quiet=True),
    )
    for name in BY_EPOCH:
        experiment.define_metric(name, step_metric="epoch")
    return WandbLogger(experiment=experiment)


def finish(loggers: Iterable[Logger]) -> None:
    """Close the W&B runs of these loggers: everything on disk, or uploaded."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()


def has_key() -> bool:
    """Whether W&B would find a key without asking: in the environment, or from ``wandb login``."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    try:
        known = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    return known.authenticators(urlsplit(server).netloc) is not None
