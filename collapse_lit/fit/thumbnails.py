"""Thumbnails of the samples in the scatter plot, written once per run for the report."""

import lightning as L

from collapse_lit.callbacks.monitor import monitors_of
from collapse_lit.data.labelled import LabelledImages
from collapse_lit.pages.sprite import make_sprite
from collapse_lit.tracking.run_directory import RunDirectory


def keep_thumbnails(run: RunDirectory, trainer: L.Trainer) -> None:
    """Write the thumbnails, unless they exist or the scatter plot has no samples yet.

    Vectors have no pictures, and neither may other data modules.
    """
    labelled = getattr(getattr(trainer, "datamodule", None), "labelled", None)
    if run.thumbnails.exists() or not isinstance(labelled, LabelledImages):
        return
    train = labelled.train
    pictures = [monitor.pictures for monitor in monitors_of(trainer)]
    shown = [found["index"] for found in pictures if "index" in found]
    if not shown or not train.has_pictures:
        return
    sprite = make_sprite(shown[0], (train.picture(row) for row in shown[0].tolist()))
    if sprite is not None:
        run.write_thumbnails(sprite.arrays)
