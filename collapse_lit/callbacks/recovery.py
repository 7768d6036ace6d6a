"""Recovery of the hidden fine classes, epoch by epoch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from collapse_lit.callbacks.cluster_numbers import (
    NO_FINE_LABELS,
    at_most,
    class_sizes,
    clusters_wanted,
    estimates,
)
from collapse_lit.callbacks.coarse_labels import Classes, check_labels
from collapse_lit.callbacks.loaders import Loaders
from collapse_lit.callbacks.monitor import Monitor
from collapse_lit.callbacks.recovery_keys import LAYER_LABEL_FREE, layer_keys, own_keys
from collapse_lit.callbacks.scatter import scatter_points
from collapse_lit.errors import UserError
from collapse_lit.features import Features, further_views
from collapse_lit.measure.collapse.spread import relative_spread
from collapse_lit.measure.distributed import Group
from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.clusters import Recovery
from collapse_lit.measure.recovery.layer_scores import layer_scores
from collapse_lit.measure.recovery.scoring import LabelledFeatures, score_recovery
from collapse_lit.measure.recovery.spaces import spaces_to_try
from collapse_lit.metrics import DISTINCT, HEADLINE, SEPARATION, SILHOUETTE, STABILITY
from collapse_lit.reading.batches import TakeApart


class RecoveryMonitor(Monitor):
    """Clusters the features inside each coarse class and scores the clusters as fine classes.

    The clustering uses coarse labels only. Fine labels in the data are used for scores only:
    ``recovery/acc``, ``recovery/clp_test`` and others, with floor and ceiling. Four scores need no
    fine labels: ``recovery/separation``, ``recovery/stability``, ``recovery/silhouette`` and
    ``recovery/distinct``.

    Args:
        layer: Path of the module whose input is the feature: the last linear layer.
        every_n_epochs: Number of epochs between measurements. The last epoch is always measured.
        k: Clusters in each coarse class: "given" (its number of fine classes), one number for all,
            a list with one number per coarse class, or "auto" (estimated; 1 is possible). None in a
            list estimates the number of that class.
        mirror: Cluster the mean of the features of an image and of its mirror image. This reduces
            noise and costs a second pass. Probes are trained on both images as separate samples,
            and tested on the mean. Use it for networks trained with random mirroring.
            :class:`CollapseMonitor` measures the unmirrored images in any case.
        shift: Test probes on the mean over a test image and two copies shifted by one pixel along
            the diagonal. Use it for networks trained with random crops.
        seed: Seed of the clusterings and of the random floor.
        loaders: As for :class:`CollapseMonitor`.
        batch: As for :class:`CollapseMonitor`.
        name: As for :class:`CollapseMonitor`.
        report: As for :class:`CollapseMonitor`.
        space: A space and clusterer for all classes, such as "white32/gmm" or "raw/kmeans"; "auto"
            or None chooses without labels.
        layers: Paths of further modules. Their output, averaged over positions, is clustered and
            scored in the same way, and logged as ``recovery_layers/PATH/*``. It is the output for
            the images themselves, even with ``mirror`` or ``shift``. Each layer costs about as much
            as the features.

    Attributes:
        recovery: The clusters of the last measured epoch.
        at_layers: The clusters at each of ``layers``, by path in order of depth.
    """

    shown_in_progress_bar = (HEADLINE,)

    def __init__(
        self,
        layer: str = "head",
        every_n_epochs: int = 1,
        k: int | list[int | None] | Literal["given", "auto"] = "given",
        mirror: bool = False,
        shift: bool = False,
        seed: int = 0,
        loaders: Loaders | None = None,
        batch: TakeApart | None = None,
        name: str = "",
        report: str | Path | None = None,
        space: str | None = "auto",
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__(layer, every_n_epochs, loaders, batch, name, report)
        self.k = k
        self.space = space
        self.layers = tuple(layers)
        try:
            spaces_to_try(space, estimate=estimates(k))
        except ValueError as error:
            raise UserError(f"recovery.space: {error}") from error
        self.views = further_views(mirror, shift)
        self.seed = seed
        self.recovery: Recovery | None = None
        self.at_layers: dict[str, Recovery] = {}

    def keys(self, splits: Mapping[str, Features]) -> tuple[str, ...]:
        """The label-free scores, and the scores that need fine labels if there are any."""
        of_layers = (key for path in self._depths(splits) for key in layer_keys(path, splits))
        return (*own_keys(splits), *of_layers)

    def check(self, first: Mapping[str, Features]) -> None:
        """Check the training data, the labels against the head, and ``k``."""
        if "train" not in first:
            raise UserError(
                "RecoveryMonitor needs training data to cluster, and there are none: pass "
                "loaders=lambda: {'train': …, 'test': …}, or remove the monitor"
            )
        check_labels(first)
        if self.k == "given" and first["train"].fine is None:
            raise UserError(NO_FINE_LABELS)

    def measure(self, splits: dict[str, Features], group: Group) -> dict[str, float]:
        """Cluster the training features and score the clusters on both splits."""
        classes = Classes.of(splits, group)
        views = splits["train"].stacked(self.views["train"])
        labels = splits["train"].coarse
        splits = {
            split: replace(
                features.averaged(self.views.get(split, ())),
                coarse=classes.numbered(features.coarse),
            )
            for split, features in splits.items()
        }
        train = splits["train"]
        k = self._clusters_wanted(train, classes, group)
        found = self.recovery = self._clusters(train, k, group)
        self._tell(found)
        spaces = [""] * classes.known
        spreads = [math.nan] * classes.known
        measured = relative_spread(train.features, train.coarse, classes.count, group).tolist()
        for label, space, spread in zip(
            classes.labels.tolist(), found.space, measured, strict=True
        ):
            spaces[label], spreads[label] = space, spread
        self.pictures = {
            "space": spaces,
            "spread": spreads,
            **scatter_points(replace(train, coarse=labels), found, group),
        }
        values = {
            SEPARATION: found.separation,
            STABILITY: found.stability,
            SILHOUETTE: found.silhouette,
            DISTINCT: found.distinct,
        }
        known = labelled(train)
        if known is not None:
            test = labelled(splits.get("test"))
            scores, acc_of_coarse = score_recovery(
                found, known, test, views=views, seed=self.seed, group=group
            )
            values |= {f"recovery/{key}": score for key, score in scores.items()}
            self.pictures["acc_of_coarse"] = list(acc_of_coarse)
        return values | self._of_layers(splits, k, group)

    def _clusters(self, train: Features, k: list[int | None], group: Group) -> Recovery:
        return recover(
            train.features,
            train.coarse,
            k,
            num_coarse=len(k),
            seed=self.seed,
            index=train.index,
            group=group,
            space=self.space,
        )

    def _depths(self, splits: Mapping[str, Features]) -> list[str]:
        """The requested layers in order of depth."""
        there = splits["train"].layers if "train" in splits else {}
        return [path for path in there if path in self.layers]

    def _of_layers(
        self, splits: Mapping[str, Features], k: list[int | None], group: Group
    ) -> dict[str, float]:
        """The scores of all layers; those that cannot be measured are nan."""
        values: dict[str, float] = {}
        self.at_layers = {}
        for path in self._depths(splits):
            values |= dict.fromkeys(layer_keys(path, splits), math.nan)
            try:
                for scores in self._of_layer(path, splits, k, group):
                    values |= {f"recovery_layers/{path}/{key}": v for key, v in scores.items()}
            except Exception as error:  # a rank's own error, of which the others raise a ValueError
                said = str(error) if isinstance(error, ValueError) else repr(error)
                self.warn(f"layer {path!r}: {said}")
        return values

    def _of_layer(
        self, path: str, splits: Mapping[str, Features], k: list[int | None], group: Group
    ) -> Iterator[dict[str, float]]:
        at = {split: replace(one, features=one.layers[path]) for split, one in splits.items()}
        found = self.at_layers[path] = self._clusters(at["train"], k, group)
        yield {key: getattr(found, key) for key in LAYER_LABEL_FREE}
        train = labelled(at["train"])
        if train is not None:
            yield from layer_scores(found, train, labelled(at.get("test")), group=group)

    def _tell(self, found: Recovery) -> None:
        """Report unusual clusters, once for each coarse class."""
        for sentence in found.warnings:
            about = sentence.split(":")[0]
            if about not in self._told:
                self._told.add(about)
                rank_zero_info(f"recovery at this epoch: {sentence}")

    def _clusters_wanted(self, train: Features, classes: Classes, group: Group) -> list[int | None]:
        """Clusters in each measured class, capped at its number of samples.

        Raises:
            UserError: The numbers are unknown, or there is not one for each class.
        """
        wanted = clusters_wanted(self.k, train, classes, group)
        sizes = class_sizes(train.coarse, classes.count, group)
        numbers, fewer = at_most(wanted, sizes)
        if fewer and "sizes" not in self._told:
            self._told.add("sizes")
            small = [f"class {int(classes.labels[c])} has {sizes[c]}" for c in fewer]
            rank_zero_warn(
                f"recovery.k asks for more clusters than there are samples ({', '.join(small)}): "
                "each sample becomes its own cluster there, and the scores are meaningless"
            )
        return numbers


def labelled(features: Features | None) -> LabelledFeatures | None:
    """The split with its fine labels; None without split or fine labels."""
    if features is None or features.fine is None:
        return None
    return LabelledFeatures(features.features, features.coarse, features.fine, features.index)
