"""Recovery of the hidden fine classes, epoch by epoch."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
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
from collapse_lit.errors import UserError
from collapse_lit.features import Features, further_views
from collapse_lit.measure.collapse.spread import relative_spread
from collapse_lit.measure.distributed import Group, gather_objects, sum_over_ranks
from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.clusters import Recovery
from collapse_lit.measure.recovery.scoring import LabelledFeatures, score_recovery
from collapse_lit.measure.recovery.spaces import spaces_to_try
from collapse_lit.metrics import DISTINCT, HEADLINE, SEPARATION, SILHOUETTE, STABILITY
from collapse_lit.reading.batches import TakeApart

# Samples in the scatter plot over all coarse classes: enough to see, cheap to keep.
POINTS_IN_PICTURE = 2000

LABEL_FREE = ("separation", "stability", "silhouette", "distinct")
SCORES = ("acc", "acc_raw", "acc_macro", "nmi", "ari")
SCORES_ON_TEST = ("clp_test", "clp_test_inside", "probe_test", "floor", "floor_std", "chance")


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
    ) -> None:
        super().__init__(layer, every_n_epochs, loaders, batch, name, report)
        self.k = k
        self.space = space
        try:
            spaces_to_try(space, estimate=estimates(k))
        except ValueError as error:
            raise UserError(f"recovery.space: {error}") from error
        self.views = further_views(mirror, shift)
        self.seed = seed
        self.recovery: Recovery | None = None

    def keys(self, splits: Mapping[str, Features]) -> tuple[str, ...]:
        """The label-free scores, and the scores that need fine labels if there are any."""
        fine = {split for split, features in splits.items() if features.fine is not None}
        scores = SCORES if "train" in fine else ()
        on_test = SCORES_ON_TEST if {"train", "test"} <= fine else ()
        return tuple(f"recovery/{key}" for key in (*LABEL_FREE, *scores, *on_test))

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
        found = recover(
            train.features,
            train.coarse,
            k,
            num_coarse=classes.count,
            seed=self.seed,
            index=train.index,
            group=group,
            space=self.space,
        )
        self.recovery = found
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
            test = labelled(splits["test"]) if "test" in splits else None
            scores, acc_of_coarse = score_recovery(
                found, known, test, views=views, seed=self.seed, group=group
            )
            values |= {f"recovery/{key}": score for key, score in scores.items()}
            self.pictures["acc_of_coarse"] = list(acc_of_coarse)
        return values

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


def labelled(features: Features) -> LabelledFeatures | None:
    """The split with its fine labels; None without fine labels."""
    if features.fine is None:
        return None
    return LabelledFeatures(features.features, features.coarse, features.fine, features.index)


def scatter_points(train: Features, found: Recovery, group: Group) -> dict[str, np.ndarray]:
    """A subset of the training set, each sample in the plane of its coarse class's chosen space.

    Returns:
        ``xy`` (n, 2), ``coarse``, ``cluster``, ``fine`` (-1 without fine labels), ``index``. The
        samples are the same on every rank and at every epoch.
    """
    total = sum_over_ranks(train.index.new_tensor([len(train.index)]), group)
    stride = max(1, -(-int(total) // POINTS_IN_PICTURE))
    # Samples are often sorted by class; a multiplicative hash picks evenly from all classes.
    kept = (train.index * 2654435761 % 2**32) % stride == 0
    fine = torch.full_like(train.coarse, -1) if train.fine is None else train.fine
    mine = {
        "xy": found.xy[kept].float().cpu().numpy(),
        "coarse": train.coarse[kept].cpu().numpy(),
        "cluster": found.ids[kept].cpu().numpy(),
        "fine": fine[kept].cpu().numpy(),
        "index": train.index[kept].cpu().numpy(),
    }
    parts = gather_objects(mine, group)
    joined = {key: np.concatenate([part[key] for part in parts]) for key in mine}
    if group is None:
        return joined
    order = np.argsort(joined["index"])
    return {key: column[order] for key, column in joined.items()}
