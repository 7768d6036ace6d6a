"""Neural collapse, epoch by epoch."""

from collections.abc import Sequence

from torch import Tensor, nn

from collapse_lit.callbacks.clean_pass import Loaders, fine_hierarchy
from collapse_lit.callbacks.monitor import Monitor, count_classes, linear_head
from collapse_lit.features import Features
from collapse_lit.measure.collapse import hierarchical_collapse, neural_collapse
from collapse_lit.measure.distributed import Group, sum_over_ranks


class CollapseMonitor(Monitor):
    """Logs how far the features have collapsed onto the coarse classes, and onto the fine ones.

    Logs ``collapse/*`` (training features), ``collapse_test/*``, and with fine labels
    ``collapse_fine/*``, by the definitions of :func:`collapse_lit.measure.neural_collapse`; also
    ``train/acc_coarse`` and ``test/acc_coarse`` on clean images. Features that allow no measurement
    are logged as nan with one warning, and training goes on.

    Args:
        layer: Path of the module whose input is the feature: the last linear layer.
        every_n_epochs: Measure every that many epochs; the last epoch is always measured.
        layers: Paths of further modules; NC1 of their output is logged as
            ``collapse_layers/PATH/nc1``, spatial maps averaged.
        loaders: Function that returns clean data as ``{"train": batches, "test": batches}``, each
            batch ``(inputs, coarse)`` or ``(inputs, coarse, fine)``. Default: what the data
            module's ``clean_dataloaders()`` gives, else the trainer's own training and validation
            sets.
    """

    shown_in_progress_bar = ("collapse/nc1",)

    def __init__(
        self,
        layer: str = "head",
        every_n_epochs: int = 1,
        layers: Sequence[str] = (),
        loaders: Loaders | None = None,
    ) -> None:
        super().__init__(layer, every_n_epochs, loaders)
        self.layers = tuple(layers)

    def measure(
        self, splits: dict[str, Features], head: nn.Module, group: Group
    ) -> dict[str, float]:
        """All measures of collapse of both splits, and the coarse accuracies."""
        num_classes = count_classes(splits["train"], head, group)
        weight, bias = linear_head(head)
        values: dict[str, float] = {}
        fine_to_coarse = None
        if splits["train"].fine is not None:
            fine_to_coarse = fine_hierarchy(splits["train"], group)
        for split, features in splits.items():
            prefix = "collapse" if split == "train" else f"collapse_{split}"
            if weight is not None:
                values[f"{split}/acc_coarse"] = _accuracy(features, weight, bias, group)
            if fine_to_coarse is None or features.fine is None:
                coarse = neural_collapse(
                    features.features, features.coarse, num_classes, weight, bias, group=group
                )
            else:
                both = hierarchical_collapse(
                    features.features, features.fine, fine_to_coarse, weight, bias, group=group
                )
                coarse = both.coarse
                if split == "train":
                    values |= {f"collapse_fine/{key}": v for key, v in both.fine.items()}
                    self.pictures["class_distances"] = both.distances.cpu().numpy()
            values |= {f"{prefix}/{key}": value for key, value in coarse.items()}
        train = splits["train"]
        for path in self.layers:
            depth = neural_collapse(train.layers[path], train.coarse, num_classes, group=group)
            values[f"collapse_layers/{path}/nc1"] = depth["nc1"]
        return values


def _accuracy(features: Features, weight: Tensor, bias: Tensor | None, group: Group) -> float:
    """Share of samples whose largest logit is that of their coarse class."""
    logits = features.features @ weight.T
    if bias is not None:
        logits = logits + bias
    right = (logits.argmax(1) == features.coarse).sum()
    counts = right.new_tensor([int(right), len(features.coarse)])
    right_of, total = sum_over_ranks(counts, group).tolist()
    return right_of / total
