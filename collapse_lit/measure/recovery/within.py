"""Sub-classes inside sub-classes: divide a cluster again, in its own axes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.clusters import ClassClusters
from collapse_lit.measure.recovery.deeper import SMALLEST

DEEPEST = 3  # largest number of levels


@dataclass(frozen=True, eq=False)
class Node:
    """A set of samples and its clusters.

    Attributes:
        rows: (n,) int64 rows of the features, ascending.
        found: its clusters, with rows of the features in ``found.index``; None if the node is too
            small or too deep to divide.
        children: one node for each cluster; empty if the node does not divide.
    """

    rows: Tensor
    found: ClassClusters | None
    children: tuple["Node", ...] = ()

    @property
    def leaves(self) -> Iterator["Node"]:
        """The nodes that do not divide, from the first cluster to the last."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves


def recover_within(
    features: Tensor, rows: Tensor, k: int | Literal["auto"] = "auto", *, seed: int = 0
) -> ClassClusters:
    """Divide one cluster: run :func:`recover` on its samples alone, in their own axes.

    A clear split hides finer splits, because it dominates the axes and the scores.

    Args:
        features: (N, d) of all samples.
        rows: (n,) int64, the cluster's samples, such as ``torch.where(found.ids == 3)[0]``.
        k: as in :func:`recover`.
        seed: as in :func:`recover`.

    Returns:
        The clusters; ``index`` holds rows of ``features``.

    Raises:
        ValueError: as :func:`recover`.
    """
    rows = rows.sort().values
    alone = torch.zeros(len(rows), dtype=torch.int64)
    return recover(features[rows], alone, k, seed=seed, index=rows).classes[0]


def subclass_tree(features: Tensor, rows: Tensor | None = None, *, seed: int = 0) -> Node:
    """Divide the samples of one class recursively while the clusters are distinct.

    Args:
        features: (N, d).
        rows: (n,) int64 rows of the class; all by default.
        seed: as in :func:`recover`.
    """
    rows = torch.arange(len(features)) if rows is None else rows.sort().values
    return _tree(features, rows, seed, DEEPEST)


def _tree(features: Tensor, rows: Tensor, seed: int, levels: int) -> Node:
    if len(rows) < SMALLEST or levels == 0:
        return Node(rows, None)
    found = recover_within(features, rows, seed=seed)
    if found.k == 1:
        return Node(rows, found)
    parts = [found.index[found.ids == cluster] for cluster in range(found.k)]
    children = (_tree(features, part, seed, levels - 1) for part in parts)
    return Node(rows, found, tuple(children))
