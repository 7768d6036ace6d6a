"""The trained network: a backbone and a linear head, trained on coarse labels."""

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
    """An image classifier that is trained on coarse labels only.

    The monitors measure its last-layer features, which are the input of :attr:`head`.

    Args:
        num_classes: Number of coarse classes; set from the data.
        image_shape: Shape of one input; set from the data.
        backbone: Name of the network: fast_cnn, small_cnn, small_vit, mlp, a torchvision model such
            as resnet18 (with a 3×3 stem for images up to 64 pixels), or your own
            package.module.Class, a torch.nn.Module that returns features (N, d).
        backbone_args: Options of that network, such as width.
        lr: Peak learning rate of SGD with Nesterov momentum.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD on all its parameters; collapse needs it.
        filter_lr: Peak learning rate of Muon for convolution filters, relative to their norm; SGD
            trains the other parameters. For networks that normalise after each convolution; null
            uses SGD only.
        schedule: Learning-rate schedule: multistep (÷10 at each milestone), onecycle (linear
            increase for a fifth of training, then linear decrease to 0), cosine, or constant.
        milestones: Shares of training at which multistep divides the learning rate by 10.
        label_smoothing: Smoothing of the coarse labels. Keep 0 to recover fine classes, because
            smoothing removes their structure from the features.
        compile: Compile the backbone with torch.compile.
        start_from: Initial weights, including the head, from a checkpoint of another run with the
            same network; null for a new network. Use it to continue training with another recipe.
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
                f"model.milestones={list(milestones)}: give shares of training between 0 and 1, "
                "such as "
                "[0.5, 0.75]"
            )
        self.save_hyperparameters()
        self.start_from = start_from
        self.backbone, width = make_backbone(backbone, tuple(image_shape), **(backbone_args or {}))
        self.head = nn.Linear(width, num_classes)
        # Batches are channels-last; convolutions are fastest if weights use that layout too.
        self.to(memory_format=torch.channels_last)
        if compile:
            self.backbone.compile()

    def setup(self, stage: str) -> None:
        """Load the weights of ``start_from``, or call ``initialise_from`` with images without
        labels.

        Raises:
            UserError: The weights cannot be read, or they belong to another network.
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
        """SGD with Nesterov momentum, or Muon, with the schedule applied at every step."""
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
