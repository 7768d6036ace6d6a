"""The keys that the recovery monitor logs for the labels that the data have."""

from collections.abc import Mapping, Sequence

from collapse_lit.features import Features
from collapse_lit.measure.recovery.layer_scores import SCORES as LAYER_SCORES
from collapse_lit.measure.recovery.layer_scores import SCORES_ON_TEST as LAYER_SCORES_ON_TEST

LABEL_FREE = ("separation", "stability", "silhouette", "distinct")
SCORES = ("acc", "acc_raw", "acc_macro", "nmi", "ari")
SCORES_ON_TEST = ("clp_test", "clp_test_inside", "probe_test", "floor", "floor_std", "chance")
LAYER_LABEL_FREE = ("separation", "stability")


def own_keys(splits: Mapping[str, Features]) -> tuple[str, ...]:
    """The keys of the features: label-free scores, and those that the fine labels allow."""
    there = _allowed(splits, LABEL_FREE, SCORES, SCORES_ON_TEST)
    return tuple(f"recovery/{key}" for key in there)


def layer_keys(path: str, splits: Mapping[str, Features]) -> tuple[str, ...]:
    """The keys of a further layer."""
    there = _allowed(splits, LAYER_LABEL_FREE, LAYER_SCORES, LAYER_SCORES_ON_TEST)
    return tuple(f"recovery_layers/{path}/{key}" for key in there)


def _allowed(
    splits: Mapping[str, Features],
    label_free: Sequence[str],
    scores: Sequence[str],
    on_test: Sequence[str],
) -> tuple[str, ...]:
    fine = {split for split, features in splits.items() if features.fine is not None}
    there = (*label_free, *(scores if "train" in fine else ()))
    return (*there, *(on_test if {"train", "test"} <= fine else ()))
