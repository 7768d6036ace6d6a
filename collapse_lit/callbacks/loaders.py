"""The data that monitors measure: each sample once, in a fixed order, shared among the ranks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import (
    DataLoader,
)

from collapse_lit.errors import UserError

Loaders = Callable[[], Mapping[str, Iterable[Any]]]
SPLITS = ("train", "test")
PASS_LOADERS = "pass loaders=lambda: {'train': …, 'test': …} to the monitor"


def check_functions(**options: object) -> None:
    """Check that options that take a function got one.

    Raises:
        UserError: An option got something else.
    """
    for option, function in options.items():
        if function is not None and not callable(function):
            raise UserError(
                f"{option}= takes a function, not a {type(function).__name__}; pass the function "
                f"itself, {option}=clean, and not {option}=clean()"
            )


def splits_to_measure(trainer: L.Trainer, loaders: Loaders | None) -> dict[str, Iterable[Any]]:
    """The clean data by split: "train", and "test" if there is one.

    The first available of: the monitor's ``loaders``, the data module's ``clean_dataloaders()``,
    the trainer's own training and validation loaders. ``Trainer.validate`` has no training loader
    of its own, so the data module or the module provides it.

    Raises:
        UserError: There are several training loaders, or a loader can be read only once.
    """
    if loaders is not None:
        found = loaders()
        if not isinstance(found, Mapping) or not found:
            raise UserError("loaders= must return a dictionary such as {'train': …, 'test': …}")
        unknown = [repr(key) for key in found if key not in SPLITS]
        if unknown:
            raise UserError(
                f"loaders= returned the key {', '.join(unknown)}; only 'train' and 'test' are "
                "allowed"
            )
        return _checked(dict(found))
    offered = getattr(datamodule_of(trainer), "clean_dataloaders", None)
    if offered is not None:
        return _checked(dict(offered()))
    only_validates = trainer.state.fn == "validate"
    train = _training_data_of_hooks(trainer) if only_validates else None
    splits = {
        "train": train if train is not None else trainer.train_dataloader,
        "test": _first(_validation_data(trainer, only_validates)),
    }
    return _checked({split: loader for split, loader in splits.items() if loader is not None})


def _checked(splits: dict[str, Any]) -> dict[str, Iterable[Any]]:
    """Check that loaders can be read at every epoch, and unpack single loaders."""
    for split, loader in splits.items():
        splits[split] = loader = _only(loader, split)
        if hasattr(loader, "__next__"):  # a generator, which can be read only once
            raise UserError(
                f"the {split} data are a {type(loader).__name__}, which can be read only once; "
                f"{PASS_LOADERS}"
            )
    return splits


def _validation_data(trainer: L.Trainer, only_validates: bool) -> Any:
    """The validation loaders of the running loop; a trainer also keeps those of its last fit."""
    loop = trainer.validate_loop if only_validates else trainer.fit_loop.epoch_loop.val_loop
    combined = loop._combined_loader
    return None if combined is None else combined.iterables


def _training_data_of_hooks(trainer: L.Trainer) -> Any:
    """The training loader of the data module or module, before any training has requested it."""
    for owner, base in (
        (datamodule_of(trainer), L.LightningDataModule),
        (trainer.lightning_module, L.LightningModule),
    ):
        if owner is not None and is_overridden("train_dataloader", owner, base):
            try:
                return owner.train_dataloader()
            except Exception as error:  # for example, the data exist only during a fit
                rank_zero_warn(
                    f"the training data are not measured: train_dataloader() failed ({error!r})"
                )
    return None


def datamodule_of(trainer: L.Trainer) -> Any:
    """The data module of the current run; a trainer also keeps that of an earlier run."""
    selector = trainer._data_connector._datahook_selector
    return None if selector is None else selector.datamodule


def _only(loader: Any, what: str) -> Any:
    """The loader itself, or the one in a list, dictionary or CombinedLoader of loaders.

    Raises:
        UserError: There are several loaders.
    """
    several = _several(loader)
    if several is None:
        return loader
    if len(several) != 1:
        raise UserError(f"there are {len(several)} {what} loaders; one is needed: {PASS_LOADERS}")
    return several[0]


def _first(loader: Any) -> Any:
    """The first validation loader, if there is one."""
    several = _several(loader)
    if several is None:
        return loader
    return several[0] if several else None


def _several(loader: Any) -> list[Any] | None:
    if isinstance(loader, CombinedLoader):
        return list(loader.flattened)
    if isinstance(loader, Mapping):
        return list(loader.values())
    if isinstance(loader, (list, tuple)) and all(isinstance(one, DataLoader) for one in loader):
        return list(loader)
    return None
