"""Watch neural collapse and hidden classes in a Lightning project of your own.

The module and the data are anybody's: nothing here is collapse-lit's but the two callbacks.

    python examples/own_project.py
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor


class OwnModule(L.LightningModule):
    """A classifier as people write them; its last layer happens to be called ``net.fc``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential()
        self.net.add_module("body", nn.Sequential(nn.Linear(64, 256), nn.ReLU()))
        self.net.add_module("fc", nn.Linear(256, 5))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 5) of images (N, 64)."""
        return self.net(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy on the five labels it knows."""
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def digits() -> tuple[TensorDataset, TensorDataset]:
    """Digits with the label ``digit mod 5``; the digit itself is only for scoring."""
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    fine = torch.tensor(data.target)
    test = torch.arange(len(fine)) % 4 == 0
    return tuple(TensorDataset(images[s], fine[s] % 5, fine[s]) for s in (~test, test))  # type: ignore[return-value]


def main(epochs: int = 10, report: str = "own_project_report") -> dict[str, float]:
    """Train, and return what the monitors logged for the last epoch; ``report`` is a folder."""
    train, test = digits()

    def clean() -> dict[str, DataLoader]:
        """Data without augmentation: (inputs, labels) or (inputs, labels, fine labels)."""
        return {
            "train": DataLoader(train, batch_size=512),
            "test": DataLoader(test, batch_size=512),
        }

    collapse = CollapseMonitor(layer="net.fc", loaders=clean)
    recovery = RecoveryMonitor(layer="net.fc", loaders=clean, report=report)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        callbacks=[collapse, recovery],  # they log into whatever logger the trainer has
        logger=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    trainer.fit(OwnModule(), DataLoader(train, batch_size=64, shuffle=True))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:32} {value:.4f}")
