"""Score clusters of one layer's features: fewer scores than those of the last layer's."""

from collections.abc import Iterator

import torch

from collapse_lit.measure.collapse.functional import hierarchical_collapse
from collapse_lit.measure.distributed import Group
from collapse_lit.measure.full_float32 import full_float32
from collapse_lit.measure.recovery.clusters import Recovery
from collapse_lit.measure.recovery.matching import match_clusters
from collapse_lit.measure.recovery.scoring import LabelledFeatures, Probing, fine_hierarchy

SCORES = ("acc", "nc1_fine", "explained")
SCORES_ON_TEST = ("clp_test", "probe_test")


def layer_scores(
    found: Recovery,
    train: LabelledFeatures,
    test: LabelledFeatures | None = None,
    *,
    group: Group = None,
) -> Iterator[dict[str, float]]:
    """Where a layer's fine structure is, and how much of it the clusters find.

    - ``acc``, ``clp_test`` and ``probe_test``: as :func:`score_recovery` defines them.
    - ``nc1_fine``: ``nc1`` of :func:`neural_collapse` onto the fine classes.
    - ``explained``: as :class:`HierarchicalCollapse` defines it.

    Args:
        found: The result of :func:`recover` for the layer's features of the training samples.
        train: The training samples with the layer's features.
        test: Held-out samples; None skips the scores that need them.
        group: Process group whose ranks hold the samples; None for a single process.

    Yields:
        Scores by key, those of the clusters first: they exist even if the rest is undefined.

    Raises:
        ValueError: On all ranks: samples of one fine class have different coarse labels, or there
            is only one coarse class.
    """
    fine_to_coarse = fine_hierarchy(train.fine, train.coarse, group)
    yield _of_clusters(found, train, test, fine_to_coarse, group)
    both = hierarchical_collapse(
        train.features, train.fine, fine_to_coarse, group=group, vci=False
    ).fine
    yield {"nc1_fine": both["nc1"], "explained": both["explained"]}


@full_float32()
def _of_clusters(
    found: Recovery,
    train: LabelledFeatures,
    test: LabelledFeatures | None,
    fine_to_coarse: torch.Tensor,
    group: Group,
) -> dict[str, float]:
    matching = match_clusters(
        found.ids, train.fine, found.cluster_to_coarse, fine_to_coarse, group=group
    )
    if test is None:
        return {"acc": matching.acc}
    probing = Probing.of(train, test, len(found.k), None, group)
    every_fine = torch.arange(len(fine_to_coarse), device=train.fine.device)
    return {
        "acc": matching.acc,
        "clp_test": probing.accuracy(found.ids, matching.cluster_to_fine),
        "probe_test": probing.accuracy(train.fine, every_fine),
    }
