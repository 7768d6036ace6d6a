"""A small Lightning project without any code of collapse-lit."""

import warnings
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.measure import neural_collapse

PLAIN = dict.fromkeys(
    ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False
)


class Net(L.LightningModule):
    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def tensors(n: int = 80, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (n, 4), coarse and fine labels (n,): four clusters, two in each class."""
    fine = torch.arange(n) % 4
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) + 3 * torch.eye(4)[fine]
    return x, fine % 2, fine


def training_data() -> DataLoader:
    return DataLoader(TensorDataset(*tensors()), batch_size=16, shuffle=True)


def validation_data() -> DataLoader:
    return DataLoader(TensorDataset(*tensors(40, 1)), batch_size=40)


def clean() -> dict[str, DataLoader]:
    return {
        "train": DataLoader(TensorDataset(*tensors()), batch_size=40),
        "test": validation_data(),
    }


def make_trainer(*callbacks: L.Callback, **options: Any) -> L.Trainer:
    plain = {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1}
    return L.Trainer(callbacks=list(callbacks), **(plain | PLAIN | options))


def fit(
    callbacks: list[L.Callback],
    train: Any = None,
    validation: Any = None,
    net: L.LightningModule | None = None,
    **options: Any,
) -> L.Trainer:
    """Train on data of anybody's, without the warnings that a small project gives."""
    torch.manual_seed(0)
    trainer = make_trainer(*callbacks, **options)
    with warnings.catch_warnings():
        for said in (
            "does not have many workers",
            "pass loaders=",
            "have no .val_dataloader",
            "LeafSpec",
        ):
            warnings.filterwarnings("ignore", message=f".*{said}")
        trainer.fit(net or Net(), train if train is not None else training_data(), validation)
    return trainer


def nc1_by_hand(
    net: nn.Module, x: Tensor, labels: Tensor, body: Callable[[Tensor], Tensor] | None = None
) -> float:
    """NC1 of features taken by hand."""
    with torch.no_grad():
        features = body(x) if body is not None else net.body(x).relu()
    return neural_collapse(features, labels, int(labels.max()) + 1)["nc1"]
