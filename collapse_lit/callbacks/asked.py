"""What a monitor requests: which layers of a network, on which data."""

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
    """The layers, views and data that a monitor requests.

    Attributes:
        layer: Path of the module whose input is the feature.
        also: Paths of further modules whose output is kept.
        views: Views averaged with the images, by split.
        loaders: Function that returns the data; None for the trainer's own loaders.
        batch: Function that splits a batch into its parts; None for the usual formats.
    """

    layer: str
    also: tuple[str, ...] = ()
    views: Mapping[str, Sequence[View]] = field(default_factory=dict)
    loaders: Loaders | None = None
    batch: TakeApart | None = None

    def offered(self, trainer: L.Trainer) -> bool:
        """Whether the data come from a data module with ``clean_dataloaders()``."""
        return self.loaders is None and hasattr(datamodule_of(trainer), "clean_dataloaders")


def joined_views(
    wanted: Sequence[Mapping[str, Sequence[View]]],
) -> dict[str, tuple[View, ...]]:
    """Every requested view once, by split."""
    return {
        split: tuple(dict.fromkeys(view for views in wanted for view in views.get(split, ())))
        for split in SPLITS
    }


def network_of(pl_module: L.LightningModule, asked: Asked) -> tuple[nn.Module, str]:
    """The module to call with the inputs, and the prefix of the paths of its layers.

    Raises:
        UserError: Neither the module nor a single network that holds the layers has a forward pass.
    """
    own = "forward" in vars(pl_module) or type(pl_module).forward is not L.LightningModule.forward
    find_layer(pl_module, asked.layer)
    if own:
        return pl_module, ""
    child, _, rest = asked.layer.partition(".")
    if not rest or not all(path.startswith(f"{child}.") for path in asked.also):
        raise UserError(
            f"{type(pl_module).__name__} has no forward(): the monitors call it, so define one "
            "that returns the logits of a batch's inputs"
        )
    return pl_module.get_submodule(child), f"{child}."
