"""Measure one checkpoint with the monitors on any number of processes: see test_ddp.py."""

import argparse
import json
import warnings
from pathlib import Path

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.data import CoarseDataModule
from collapse_lit.models import CoarseClassifier

LAYERS = ["backbone.4"]


class Measured(CoarseClassifier):
    """The classifier with the validation step that ``Trainer.validate`` asks for."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Nothing: the monitors do the measuring."""


class Odd(CoarseDataModule):
    """Digits; 1,297 training images are odd, and so no two processes hold as many."""

    def val_dataloader(self) -> DataLoader:
        """A batch for each process, so that the loop runs."""
        return DataLoader(TensorDataset(torch.zeros(8, 1)))


def main() -> None:
    """Write the measures of every rank to ``OUT/RANK.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int)
    parser.add_argument("--checkpoint")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    recovery = RecoveryMonitor(layers=LAYERS)
    model = Measured(5, (1, 8, 8), backbone_args={"width": 4})
    state = torch.load(asked.checkpoint, weights_only=True)["state_dict"]
    model.load_state_dict(state)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=asked.devices,
        strategy="ddp" if asked.devices > 1 else "auto",
        callbacks=[CollapseMonitor(layers=LAYERS), recovery],
        logger=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    if trainer.global_rank > 0:  # as after a training step: every rank has statistics of its own
        for buffer in model.buffers():
            buffer.mul_(2)
    trainer.validate(model, datamodule=Odd(), verbose=False)
    values: dict[str, float] = {}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        values |= getattr(callback, "values", {})
    index = recovery.splits["train"].index.tolist()
    clusters = dict(zip(index, recovery.at_layers[LAYERS[0]].ids.tolist(), strict=True))
    asked.out.mkdir(exist_ok=True)
    (asked.out / f"{trainer.global_rank}.clusters").write_text(json.dumps(clusters))
    (asked.out / f"{trainer.global_rank}.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
