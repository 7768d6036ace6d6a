import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.fit.seeding import EpochSeed

SWITCHED_OFF = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")


class Noisy(L.LightningModule):
    """Remembers what its dropout let through, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 1), nn.Dropout(0.5)
        self.seen: list[tuple[int, list[float]]] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        dropped = self.drop(batch[0])
        self.seen.append((self.current_epoch, dropped.flatten().tolist()))
        return self.linear(dropped).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_dropout_after_a_resume_is_that_of_the_whole_run(tmp_path) -> None:
    loader = DataLoader(TensorDataset(torch.ones(8, 4)), batch_size=8)

    def train(epochs: int, checkpoint: str | None = None) -> tuple[Noisy, str]:
        model = Noisy()
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[EpochSeed(3)],
            **dict.fromkeys(SWITCHED_OFF, False),
            log_every_n_steps=1,
        )
        trainer.fit(model, loader, ckpt_path=checkpoint, weights_only=True)
        path = str(tmp_path / f"{epochs}.ckpt")
        trainer.save_checkpoint(path)
        return model, path

    whole, _ = train(3)
    first, checkpoint = train(1)
    rest, _ = train(3, checkpoint)
    assert first.seen + rest.seen == whole.seen
    assert len({tuple(values) for _, values in whole.seen}) == 3
