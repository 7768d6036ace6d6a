"""What monitors want to see of a network: which layers, of which data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import lightning as L
from torch import nn

from collapse_lit.callbacks.loaders import SPLITS, Loaders, datamodule_of
from collapse_lit.errors import UserError
from collapse_lit.features import View
from collapse_lit.reading.batches import TakeApart
from collapse_lit.reading.layers import find_layer


@dataclass(frozen=True)
class Asked:
    """What a monitor wants to see.

    Attributes:
        layer: Path of the module whose input is the feature.
        also: Paths of further modules whose output is kept.
        views: By split, what is looked at beside the images.
        loaders: Where the data come from; None for the trainer's own.
        batch: How a batch is taken apart; None for the usual ways.
    """

    layer: str
    also: tuple[str, ...] = ()
    views: Mapping[str, Sequence[View]] = field(default_factory=dict)
    loaders: Loaders | None = None
    batch: TakeApart | None = None

    def offered(self, trainer: L.Trainer) -> bool:
        """Whether the data come from a data module that was made to be measured."""
        return self.loaders is None and hasattr(datamodule_of(trainer), "clean_dataloaders")


def joined_views(
    wanted: Sequence[Mapping[str, Sequence[View]]],
) -> dict[str, tuple[View, ...]]:
    """By split, each view that anyone wants, once."""
    return {
        split: tuple(dict.fromkeys(view for views in wanted for view in views.get(split, ())))
        for split in SPLITS
    }


def network_of(pl_module: L.LightningModule, asked: Asked) -> tuple[nn.Module, str]:
    """The module to call with the inputs, and the start of the paths of all that is in it.

    Raises:
        UserError: The module has no forward pass, and the layers are in no one network that has.
    """
    own = "forward" in vars(pl_module) or type(pl_module).forward is not L.LightningModule.forward
    find_layer(pl_module, asked.layer)
    if own:
        return pl_module, ""
    child, _, rest = asked.layer.partition(".")
    if not rest or not all(path.startswith(f"{child}.") for path in asked.also):
        raise UserError(
            f"{type(pl_module).__name__} has no forward(): define one that returns the logits of a "
            "batch's inputs, for the monitors to call"
        )
    return pl_module.get_submodule(child), f"{child}."
