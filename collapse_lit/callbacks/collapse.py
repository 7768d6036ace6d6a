"""Neural collapse, epoch by epoch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from collapse_lit.callbacks.coarse_labels import Classes, check_labels
from collapse_lit.callbacks.loaders import Loaders
from collapse_lit.callbacks.monitor import Monitor
from collapse_lit.features import Features
from collapse_lit.measure.collapse.functional import hierarchical_collapse, neural_collapse
from collapse_lit.measure.collapse.measures import names
from collapse_lit.measure.distributed import Group, mean_over_ranks
from collapse_lit.measure.recovery.scoring import fine_hierarchy
from collapse_lit.metrics import NC1
from collapse_lit.reading.batches import TakeApart


class CollapseMonitor(Monitor):
    """Logs neural collapse of the features onto the coarse classes and onto the fine classes.

    Logs ``collapse/*`` (training features), ``collapse_test/*`` and, with fine labels,
    ``collapse_fine/*``. :func:`collapse_lit.measure.neural_collapse` defines these measures. The
    monitor also logs ``train/acc_coarse`` and ``test/acc_coarse`` on clean images. The measured
    classes are those of the training set. A measure that a split does not allow is logged as nan
    with one warning, and training continues. For example, the test set may lack a class, or
    ``layer`` may not be linear (``nc3``, ``nc4``).

    Args:
        layer: Path of the module whose input is the feature: the last linear layer.
        every_n_epochs: Number of epochs between measurements. The last epoch is always measured.
        layers: Paths of further modules. NC1 of their output, averaged over positions, is logged as
            ``collapse_layers/PATH/nc1``.
        loaders: Function that returns clean data as ``{"train": batches, "test": batches}``, each
            batch ``(inputs, coarse)`` or ``(inputs, coarse, fine)``. By default, the data module's
            ``clean_dataloaders()``, or else the trainer's own training and validation sets.
        batch: Function that turns a batch of another format into ``(inputs, coarse)`` or ``(inputs,
            coarse, fine)``. Inputs in a dictionary are passed to the network by name, inputs in a
            tuple by position.
        name: Prefix of every key, as in ``NAME/collapse/nc1``. A second monitor of the same type
            needs one.
        report: Folder for the results of all monitors of the trainer: a page with figures, the
            history and the cluster of each sample. Figures also go to W&B and TensorBoard.
    """

    shown_in_progress_bar = (NC1,)

    def __init__(
        self,
        layer: str = "head",
        every_n_epochs: int = 1,
        layers: Sequence[str] = (),
        loaders: Loaders | None = None,
        batch: TakeApart | None = None,
        name: str = "",
        report: str | Path | None = None,
    ) -> None:
        super().__init__(layer, every_n_epochs, loaders, batch, name, report)
        self.layers = tuple(layers)

    def keys(self, splits: Mapping[str, Features]) -> tuple[str, ...]:
        """The keys of all measures of all splits."""
        return tuple(key for split in splits for key in self._keys_of(split, splits[split]))

    def check(self, first: Mapping[str, Features]) -> None:
        """Check that the last layer has an output for every label."""
        check_labels(first)

    def measure(self, splits: dict[str, Features], group: Group) -> dict[str, float]:
        """Measure collapse and coarse accuracy on both splits."""
        values: dict[str, float] = {}
        classes = Classes.of(splits, group)
        for split, features in splits.items():
            values |= dict.fromkeys(self._keys_of(split, features), math.nan)
            values[f"{split}/acc_coarse"] = _accuracy(features, group)
            if features.decided is None:
                self.warn(
                    f"layer {self.layer!r} does not return logits (n, classes), which acc_coarse "
                    "needs"
                )
            try:
                values |= self._measures(
                    split, classes.only(split, features, group), classes, group
                )
            except ValueError as error:
                self.warn(f"{split} data: {error}")
        return values

    def _keys_of(self, split: str, features: Features) -> Iterator[str]:
        yield f"{split}/acc_coarse"
        yield from (f"{_prefix(split)}/{key}" for key in names())
        if split == "train":
            asked = (path for path in features.layers if path in self.layers)
            yield from (f"collapse_layers/{path}/nc1" for path in asked)

    def _measures(
        self, split: str, features: Features, classes: Classes, group: Group
    ) -> dict[str, float]:
        """The measures of one split, with labels numbered over the measured classes."""
        values: dict[str, float] = {}
        weight, bias = features.last.weight, features.last.bias
        if weight is None:
            self.warn(f"layer {self.layer!r} is not linear, which nc3 and nc4 need")
        else:
            weight, bias = classes.rows(weight, bias)
        h, y, C = features.features, features.coarse, classes.count
        if split == "train" and features.fine is not None:
            fine_to_coarse = fine_hierarchy(features.fine, y, group)
            both = hierarchical_collapse(
                h, features.fine, fine_to_coarse, weight, bias, group=group
            )
            coarse = both.coarse
            values |= {f"collapse_fine/{key}": value for key, value in both.fine.items()}
            self.pictures["class_distances"] = both.distances.cpu().numpy()
        else:
            coarse = neural_collapse(h, y, C, weight, bias, group=group)
        values |= {f"{_prefix(split)}/{key}": value for key, value in coarse.items()}
        if split == "train":
            for path in self.layers:
                depth = neural_collapse(features.layers[path], y, C, group=group)
                values[f"collapse_layers/{path}/nc1"] = depth["nc1"]
        return values


def _prefix(split: str) -> str:
    return "collapse" if split == "train" else f"collapse_{split}"


def _accuracy(features: Features, group: Group) -> float:
    """Share of samples whose class the network predicts; nan without predictions."""
    if features.decided is None:
        return math.nan
    return mean_over_ranks(features.decided == features.coarse, group)
