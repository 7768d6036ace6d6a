"""Networks measured without training: as initialised, or as a checkpoint has them."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from collapse_lit.fit.command_line import FitCLI


def measure_network(cli: "FitCLI", checkpoint: Path | None = None) -> None:
    """Measure the network as it was initialised, or that of a checkpoint, without training.

    The monitors measure at the end of a validation and read the data themselves. Lightning asks for
    a step and for batches all the same.
    """
    model, data = cli.model, cli.datamodule
    if checkpoint is not None:
        model.start_from = None  # it has weights of its own
    model.validation_step = lambda batch, batch_idx: None
    data.val_dataloader = lambda: data.clean_dataloaders()["test"]
    cli.trainer.validate(
        model, datamodule=data, verbose=False, ckpt_path=checkpoint, weights_only=True
    )


def measure_checkpoint(cli: "FitCLI", epoch: int, path: Path) -> None:
    """Measure the network of one checkpoint as that epoch.

    Lightning restores it, and what the recorder knew, after the network has set itself up.
    """
    rank_zero_info(f"measuring {path}")
    cli.trainer.fit_loop.epoch_progress.current.completed = epoch
    measure_network(cli, path)
