"""The network under study: a backbone and a linear head, trained on coarse labels."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collapse_lit.errors import UserError
from collapse_lit.metrics import LOSS
from collapse_lit.models.backbones import make_backbone
from collapse_lit.models.muon import Muon
from collapse_lit.models.schedule import THIRDS, ScheduleName, schedule, steps_of_training
from collapse_lit.models.state import load_state, read_state

IMAGES_TO_START_FROM = 5000


class CoarseClassifier(L.LightningModule):
    """An image classifier that is only ever shown coarse labels.

    Its last-layer features, the input of :attr:`head`, are what the monitors measure.

    Args:
        num_classes: Number of coarse classes; taken from the data.
        image_shape: Shape of one input; taken from the data.
        backbone: Network by name: fast_cnn, small_cnn, mlp, a model of torchvision's registry such
            as resnet18 (with a 3×3 stem on images up to 64 pixels), or your own as
            package.module.Class, a torch.nn.Module that returns features (N, d).
        backbone_args: Options of that network, such as width.
        lr: Peak learning rate of SGD with Nesterov momentum.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD on all its parameters: collapse needs it.
        filter_lr: Peak learning rate of Muon, relative to their norm, for the filters of
            convolutions, which then are not SGD's. For networks that normalise after each
            convolution; null for SGD alone.
        schedule: Learning rate over training: multistep (÷10 at each milestone), onecycle (linear
            up for a fifth, linear down to 0), cosine, or constant.
        milestones: Shares of training at which multistep divides the rate by 10.
        label_smoothing: Smoothing of the coarse labels. Keep 0 to recover fine classes: smoothing
            erases the structure that they leave in the features.
        compile: Compile the backbone with torch.compile.
        start_from: Weights to start from, head included: the checkpoint of another run of the same
            network. To train on by another recipe; null for a network of its own.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, ...],
        backbone: str = "small_cnn",
        backbone_args: dict[str, Any] | None = None,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        filter_lr: float | None = None,
        schedule: ScheduleName = "multistep",
        milestones: tuple[float, ...] = THIRDS,
        label_smoothing: float = 0.0,
        compile: bool = False,
        start_from: str | None = None,
    ) -> None:
        super().__init__()
        if not all(0 < milestone < 1 for milestone in milestones):
            raise UserError(
                f"model.milestones={list(milestones)}: shares of training between 0 and 1, such as "
                "[0.5, 0.75]"
            )
        self.save_hyperparameters()
        self.start_from = start_from
        self.backbone, width = make_backbone(backbone, tuple(image_shape), **(backbone_args or {}))
        self.head = nn.Linear(width, num_classes)
        # Batches come channels-last: convolutions of both in that layout are the fastest.
        self.to(memory_format=torch.channels_last)
        if compile:
            self.backbone.compile()

    def setup(self, stage: str) -> None:
        """Take the weights of ``start_from``, or let ``initialise_from`` see images, never a label.

        Raises:
            UserError: The weights cannot be read, or are of another network.
        """
        if self.start_from is not None:
            state = read_state(Path(self.start_from), "model.start_from")
            load_state(self, state, f"model.start_from {self.start_from}", "this network")
            return
        sample_images = getattr(getattr(self.trainer, "datamodule", None), "sample_images", None)
        initialise_from = getattr(self.backbone, "initialise_from", None)
        if initialise_from is not None and sample_images is not None:
            initialise_from(sample_images(IMAGES_TO_START_FROM))

    def forward(self, images: Tensor) -> Tensor:
        """Coarse logits (N, num_classes) of a batch of images (N, *image_shape)."""
        return self.head(self.backbone(images))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy on the coarse labels of one batch."""
        images, coarse = batch
        loss = F.cross_entropy(
            self(images), coarse, label_smoothing=self.hparams["label_smoothing"]
        )
        self.log(
            LOSS,
            loss.detach(),
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            prog_bar=True,
            batch_size=len(images),
        )
        return loss

    def configure_optimizers(self) -> Any:
        """SGD with Nesterov momentum, or Muon; the rate follows the schedule step by step."""
        of_sgd = {key: self.hparams[key] for key in ("lr", "momentum", "weight_decay")}
        filter_lr = self.hparams["filter_lr"]
        optimizer = (
            torch.optim.SGD(self.parameters(), nesterov=of_sgd["momentum"] > 0, **of_sgd)
            if filter_lr is None
            else Muon(self, filter_lr=filter_lr, **of_sgd)
        )
        total = steps_of_training(self.trainer)
        factor = schedule(self.hparams["schedule"], total, self.hparams["milestones"])
        by_step = {
            "scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor),
            "interval": "step",
        }
        return {"optimizer": optimizer, "lr_scheduler": by_step}
