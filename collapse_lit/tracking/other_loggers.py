"""Loggers of Lightning's beside W&B: what they are shown beyond the numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image

from collapse_lit.errors import UserError


def show_figures(logger: Any, figures: Mapping[str, Path], step: int) -> None:
    """Show image files by name where a logger has a place for them; others keep numbers only."""
    if isinstance(logger, TensorBoardLogger):
        for name, path in figures.items():
            image = np.asarray(Image.open(path).convert("RGB"))
            logger.experiment.add_image(name, image, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        import wandb

        images = {name: wandb.Image(str(path)) for name, path in figures.items()}
        logger.experiment.log({**images, "trainer/global_step": step})


def asked_for(option: Any) -> list[Logger]:
    """The loggers in ``trainer.logger``; none of them is W&B's.

    Raises:
        UserError: One is: a second W&B run would have the same curves.
    """
    if option is None or isinstance(option, bool):
        return []
    loggers: Sequence[Logger] = [option] if isinstance(option, Logger) else list(option)
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        raise UserError(
            "trainer.logger: W&B has options of its own, --wandb.mode, --wandb.project and others; "
            "leave WandbLogger out"
        )
    return list(loggers)
