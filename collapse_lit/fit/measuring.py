"""Measure networks without training: untrained ones, or those of a checkpoint."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from collapse_lit.fit.command_line import FitCLI


def measure_network(cli: "FitCLI", checkpoint: Path | None = None) -> None:
    """Measure the untrained network, or the network of a checkpoint, without training.

    The monitors measure at the end of validation and read the data themselves. Lightning still
    requires a validation step and batches.
    """
    model, data = cli.model, cli.datamodule
    if checkpoint is not None:
        model.start_from = None  # the checkpoint has the weights
    model.validation_step = lambda batch, batch_idx: None
    data.val_dataloader = lambda: data.clean_dataloaders()["test"]
    cli.trainer.validate(
        model, datamodule=data, verbose=False, ckpt_path=checkpoint, weights_only=True
    )


def measure_checkpoint(cli: "FitCLI", epoch: int, path: Path) -> None:
    """Measure the network of one checkpoint as that epoch.

    Lightning restores the network and the recorder's state after the network's ``setup``.
    """
    rank_zero_info(f"measuring {path}")
    cli.trainer.fit_loop.epoch_progress.current.completed = epoch
    measure_network(cli, path)
