"""How well the hidden fine classes can be recovered, epoch by epoch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch import distributed as dist

from collapse_lit.callbacks.coarse_labels import Classes, check_labels
from collapse_lit.callbacks.loaders import Loaders
from collapse_lit.callbacks.monitor import Monitor
from collapse_lit.errors import UserError
from collapse_lit.features import Features, further_views
from collapse_lit.measure.distributed import Group, sum_over_ranks
from collapse_lit.measure.recovery.all_classes import Recovery, recover
from collapse_lit.measure.recovery.scoring import (
    LabelledFeatures,
    fine_hierarchy,
    score_recovery,
)
from collapse_lit.metrics import HEADLINE, SEPARATION, SILHOUETTE, STABILITY
from collapse_lit.reading.batches import TakeApart

# Samples in the scatter picture of all coarse classes together: enough to see, cheap to keep.
POINTS_IN_PICTURE = 2000

LABEL_FREE = ("separation", "stability", "silhouette")
SCORES = ("acc", "acc_raw", "acc_macro", "nmi", "ari")
SCORES_ON_TEST = ("clp_test", "clp_test_inside", "probe_test", "floor", "floor_std", "chance")
NO_FINE_LABELS = (
    "recovery.k: 'given' needs fine labels; without them give a number, a list with one number a "
    "coarse class, or 'auto'"
)


class RecoveryMonitor(Monitor):
    """Clusters the features inside each coarse class and scores the clusters as fine classes.

    The clustering sees coarse labels alone. With fine labels in the data it is scored on them
    (``recovery/acc``, ``recovery/clp_test`` and the rest, with floor and ceiling); without, the
    label-free ``recovery/separation``, ``recovery/stability`` and ``recovery/silhouette`` remain.

    Args:
        layer: Path of the module whose input is the feature: the last linear layer.
        every_n_epochs: Measure every that many epochs; the last epoch is always measured.
        k: Clusters in each coarse class: "given" (its number of fine classes), one number for all,
            a list with one number a coarse class, or "auto" (estimated; 1 is possible).
        mirror: Cluster the mean of the features of an image and of its mirror image: less noise,
            for a second pass. Probes learn from both, each a sample of its own, and are asked about
            the mean. For networks trained on images mirrored at random; what
            :class:`CollapseMonitor` measures are the features as they are.
        shift: Ask probes about the mean over a test image and the same a pixel aside, both ways
            along the diagonal. For networks trained on random crops.
        seed: Seed of the clusterings and of the random floor.
        loaders: As for :class:`CollapseMonitor`.
        batch: As for :class:`CollapseMonitor`.
        name: As for :class:`CollapseMonitor`.
        report: As for :class:`CollapseMonitor`.
    """

    shown_in_progress_bar = (HEADLINE,)

    def __init__(
        self,
        layer: str = "head",
        every_n_epochs: int = 1,
        k: int | list[int] | Literal["given", "auto"] = "given",
        mirror: bool = False,
        shift: bool = False,
        seed: int = 0,
        loaders: Loaders | None = None,
        batch: TakeApart | None = None,
        name: str = "",
        report: str | Path | None = None,
    ) -> None:
        super().__init__(layer, every_n_epochs, loaders, batch, name, report)
        self.k = k
        self.views = further_views(mirror, shift)
        self.seed = seed
        self.recovery: Recovery | None = None

    def keys(self, splits: Mapping[str, Features]) -> tuple[str, ...]:
        """The label-free scores, and those that fine labels allow."""
        fine = {split for split, features in splits.items() if features.fine is not None}
        scores = SCORES if "train" in fine else ()
        on_test = SCORES_ON_TEST if {"train", "test"} <= fine else ()
        return tuple(f"recovery/{key}" for key in (*LABEL_FREE, *scores, *on_test))

    def check(self, first: Mapping[str, Features]) -> None:
        """See that there are training data, labels that fit the head, and what k asks for."""
        if "train" not in first:
            raise UserError(
                "RecoveryMonitor clusters the training features, and there are no training data: "
                "pass loaders=lambda: {'train': …, 'test': …}, or leave the monitor out"
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
        )
        self.recovery = found
        self._tell(found)
        spaces = [""] * classes.known
        for label, space in zip(classes.labels.tolist(), found.space, strict=True):
            spaces[label] = space
        self.pictures = {
            "space": spaces,
            **scatter_points(replace(train, coarse=labels), found, group),
        }
        values = {
            SEPARATION: found.separation,
            STABILITY: found.stability,
            SILHOUETTE: found.silhouette,
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
        """Say what a reader should know of odd clusters, once for each coarse class."""
        for sentence in found.warnings:
            about = sentence.split(":")[0]
            if about not in self._told:
                self._told.add(about)
                rank_zero_info(f"recovery at this epoch: {sentence}")

    def _clusters_wanted(
        self, train: Features, classes: Classes, group: Group
    ) -> list[int] | Literal["auto"]:
        """Clusters in each class measured: as many as it has samples where more were asked for.

        Raises:
            UserError: No number of them is known, or not one for each class.
        """
        if self.k == "auto":
            return "auto"
        if isinstance(self.k, int):
            wanted = [self.k] * classes.count
        elif self.k != "given":
            wanted = classes.pick(list(self.k))
        elif train.fine is None:
            raise UserError(NO_FINE_LABELS)
        else:
            fine_to_coarse = fine_hierarchy(train.fine, train.coarse, group)
            known = fine_to_coarse[fine_to_coarse >= 0]
            wanted = torch.bincount(known, minlength=classes.count).tolist()
        sizes = sum_over_ranks(
            torch.bincount(train.coarse, minlength=classes.count), group
        ).tolist()
        small = [
            f"class {label} has {size}"
            for label, k, size in zip(classes.labels.tolist(), wanted, sizes, strict=True)
            if k > size
        ]
        if small and "sizes" not in self._told:
            self._told.add("sizes")
            rank_zero_warn(
                f"recovery.k asks for more clusters than there are samples ({', '.join(small)}): "
                "each sample is a cluster of its own there, and no score says anything"
            )
        return [min(k, size) for k, size in zip(wanted, sizes, strict=True)]


def labelled(features: Features) -> LabelledFeatures | None:
    """A split for its scores; None without fine labels."""
    if features.fine is None:
        return None
    return LabelledFeatures(features.features, features.coarse, features.fine, features.index)


def check_class_sizes(
    k: int | list[int] | Literal["auto"], coarse: Tensor, num_coarse: int, group: Group
) -> None:
    """See that every coarse class has samples enough for its clusters.

    Raises:
        UserError: It has not, or ``k`` has another length than there are coarse classes.
    """
    if k == "auto":
        return
    wanted = [k] * num_coarse if isinstance(k, int) else k
    if len(wanted) != num_coarse:
        raise UserError(f"recovery.k: {len(wanted)} numbers for {num_coarse} coarse classes")
    sizes = sum_over_ranks(torch.bincount(coarse, minlength=num_coarse), group).tolist()
    for label, (clusters, size) in enumerate(zip(wanted, sizes, strict=True)):
        if not 1 <= clusters <= size:
            raise UserError(
                f"recovery.k: {clusters} clusters for coarse class {label}, which has {size} "
                f"training samples; 1 to {size} would be possible"
            )


def scatter_points(train: Features, found: Recovery, group: Group) -> dict[str, np.ndarray]:
    """A sample of the training set in the plane of its coarse class's chosen space.

    Returns:
        ``xy`` (n, 2), ``coarse``, ``cluster``, ``fine`` (-1 without fine labels), ``index``: the
        same samples on every rank, whichever holds them, and at every epoch.
    """
    total = sum_over_ranks(train.index.new_tensor([len(train.index)]), group)
    stride = max(1, -(-int(total) // POINTS_IN_PICTURE))
    # Samples are often sorted by class: a multiplicative hash picks evenly from all of them.
    kept = (train.index * 2654435761 % 2**32) % stride == 0
    fine = torch.full_like(train.coarse, -1) if train.fine is None else train.fine
    mine = {
        "xy": found.xy[kept].float().cpu().numpy(),
        "coarse": train.coarse[kept].cpu().numpy(),
        "cluster": found.ids[kept].cpu().numpy(),
        "fine": fine[kept].cpu().numpy(),
        "index": train.index[kept].cpu().numpy(),
    }
    if group is None:
        return mine
    parts: list[dict[str, np.ndarray]] = [{} for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(parts, mine, group=group)
    joined = {key: np.concatenate([part[key] for part in parts]) for key in mine}
    order = np.argsort(joined["index"])
    return {key: column[order] for key, column in joined.items()}
