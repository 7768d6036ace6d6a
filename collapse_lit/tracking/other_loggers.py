"""Show figures in Lightning's loggers other than W&B."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image

from collapse_lit.errors import UserError


def show_figures(logger: Any, figures: Mapping[str, Path], step: int) -> None:
    """Show image files by name in loggers that support images."""
    if isinstance(logger, TensorBoardLogger):
        for name, path in figures.items():
            image = np.asarray(Image.open(path).convert("RGB"))
            logger.experiment.add_image(name, image, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        import wandb

        images = {name: wandb.Image(str(path)) for name, path in figures.items()}
        logger.experiment.log({**images, "trainer/global_step": step})


def asked_for(option: Any) -> list[Logger]:
    """The loggers in ``trainer.logger``, none of which may be W&B.

    Raises:
        UserError: One of them is W&B, so a second W&B run would have the same curves.
    """
    if option is None or isinstance(option, bool):
        return []
    loggers: Sequence[Logger] = [option] if isinstance(option, Logger) else list(option)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise UserError(
            "trainer.logger: leave WandbLogger out; set W&B by --wandb.mode, --wandb.project and "
            "other options"
        )
    return list(loggers)
