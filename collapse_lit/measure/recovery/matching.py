"""Scores of recovered clusters against fine labels, and the floor of every score.

Only this module and the probe's ceiling use fine labels in this package.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from collapse_lit.measure.clustering import IdArray
from collapse_lit.measure.distributed import Group, sum_over_ranks


@dataclass(frozen=True)
class Matching:
    """Clusters matched to fine classes, and their agreement.

    Attributes:
        cluster_to_fine: (K,) int64, the fine class of each cluster, -1 if unmatched.
        acc: share of samples whose cluster is matched to their fine class, in [0, 1].
        acc_macro: this share inside each fine class, averaged over fine classes.
        acc_of_coarse: this share inside each coarse class, nan without samples.
        contingency: (K, F) int64, number of samples of fine class f in cluster k.
        blocks: its part (K_c, F_c) inside each coarse class.
    """

    cluster_to_fine: Tensor
    acc: float
    acc_macro: float
    acc_of_coarse: tuple[float, ...]
    contingency: Tensor
    blocks: tuple[NDArray[np.int64], ...]

    @property
    def nmi(self) -> float:
        """Normalised mutual information (arithmetic mean) inside each coarse class, averaged over
        coarse classes; about 0 for random clusters.
        """
        return float(np.mean([normalized_mutual_info_score(*_as_labels(b)) for b in self.blocks]))

    @property
    def ari(self) -> float:
        """Adjusted Rand index, averaged in the same way."""
        return float(np.mean([adjusted_rand_score(*_as_labels(b)) for b in self.blocks]))


def match_clusters(
    ids: Tensor,
    fine: Tensor,
    cluster_to_coarse: Tensor,
    fine_to_coarse: Tensor,
    *,
    group: Group = None,
) -> Matching:
    """Match clusters to fine classes one to one inside each coarse class and score the match.

    Ranks exchange only counts, and every rank returns the same numbers.

    Args:
        ids: (n_local,) cluster ids in 0..K-1.
        fine: (n_local,) fine labels in 0..F-1.
        cluster_to_coarse: (K,) coarse class of each cluster.
        fine_to_coarse: (F,) coarse class of each fine class.
        group: process group whose ranks hold the samples; ``None`` for a single process.

    Returns:
        The matching that maximises accuracy (Hungarian method) and its scores.

    Raises:
        ValueError: the lengths differ, a label is out of range, or there are no samples.
    """
    num_clusters, num_fine = len(cluster_to_coarse), len(fine_to_coarse)
    table = _contingency(ids, fine, num_clusters, num_fine, group)  # (K, F)
    counts = table.numpy()
    coarse_of_cluster = cluster_to_coarse.cpu().numpy()
    coarse_of_fine = fine_to_coarse.cpu().numpy()

    cluster_to_fine = np.full(num_clusters, -1, dtype=np.int64)
    acc_of_coarse = np.full(coarse_of_fine.max() + 1, np.nan)
    blocks = []
    for c in np.unique(coarse_of_fine):
        rows, columns = np.flatnonzero(coarse_of_cluster == c), np.flatnonzero(coarse_of_fine == c)
        block = counts[np.ix_(rows, columns)]
        if block.sum() == 0:
            continue
        row, column = linear_sum_assignment(block, maximize=True)
        cluster_to_fine[rows[row]] = columns[column]
        acc_of_coarse[c] = block[row, column].sum() / block.sum()
        blocks.append(block)

    matched = np.flatnonzero(cluster_to_fine >= 0)
    hits = np.zeros(num_fine)
    hits[cluster_to_fine[matched]] = counts[matched, cluster_to_fine[matched]]
    of_fine = counts.sum(axis=0)
    return Matching(
        cluster_to_fine=torch.from_numpy(cluster_to_fine),
        acc=float(hits.sum() / counts.sum()),
        acc_macro=float(np.mean(hits[of_fine > 0] / of_fine[of_fine > 0])),
        acc_of_coarse=tuple(acc_of_coarse.tolist()),
        contingency=table,
        blocks=tuple(blocks),
    )


def random_clusters(index: Tensor, coarse: Tensor, k: int | list[int], seed: int = 0) -> Tensor:
    """Clusters drawn uniformly at random inside each coarse class: the floor of every score.

    Each id depends on ``(seed, index)`` alone, so any sharding of the samples gives the same ids.

    Args:
        index: (N,) int64 global sample ids.
        coarse: (N,) int64 coarse labels.
        k: number of clusters in every coarse class, or one number for each.
        seed: seed of the draw.

    Returns:
        (N,) int64 cluster ids, numbered like ``Recovery.ids``.
    """
    per_class = np.asarray(k)
    if per_class.ndim == 0:
        sizes = torch.full_like(coarse, int(per_class))
        offset = coarse * int(per_class)
    else:
        table = torch.from_numpy(per_class.astype(np.int64)).to(coarse.device)
        sizes, offset = table[coarse], (table.cumsum(0) - table)[coarse]
    return offset + _hash(index, seed) % sizes


def match_random_clusters(
    index: Tensor,
    fine: Tensor,
    coarse: Tensor,
    cluster_to_coarse: Tensor,
    fine_to_coarse: Tensor,
    seeds: Iterable[int],
    *,
    group: Group = None,
) -> Iterator[tuple[Tensor, Matching]]:
    """Draw random clusters, as many in each coarse class as were found, and match them in the same
    way.

    Args:
        index: (n_local,) int64 global sample ids.
        fine: (n_local,) int64 fine labels in 0..F-1.
        coarse: (n_local,) int64 coarse labels in 0..C-1.
        cluster_to_coarse: (K,) coarse class of each cluster; all of 0..C-1 occur.
        fine_to_coarse: (F,) coarse class of each fine class.
        seeds: Seeds of the draws.
        group: Process group whose ranks hold the samples; None for a single process.

    Yields:
        The cluster ids (n_local,) of a draw, and their matching.

    Raises:
        ValueError: As :func:`match_clusters`.
    """
    k = torch.bincount(cluster_to_coarse).tolist()
    for seed in seeds:
        ids = random_clusters(index, coarse, k, seed)
        yield ids, match_clusters(ids, fine, cluster_to_coarse, fine_to_coarse, group=group)


def _hash(index: Tensor, seed: int) -> Tensor:
    """(N,) non-negative int64: the splitmix64 mix of (seed, index), uniform for our purposes."""
    with np.errstate(over="ignore"):
        x = index.cpu().numpy().astype(np.uint64) + np.uint64(1)
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x >> np.uint64(1)).astype(np.int64)).to(index.device)


def _contingency(
    ids: Tensor, fine: Tensor, num_clusters: int, num_fine: int, group: Group
) -> Tensor:
    """(K, F) int64 counts over all ranks; if the checks fail, all ranks raise together."""
    if ids.shape != fine.shape or ids.ndim != 1:
        raise ValueError(
            f"ids {tuple(ids.shape)} and fine {tuple(fine.shape)} must have the same shape (N,)"
        )
    fine = fine.to(ids.device)
    inside = (ids >= 0) & (ids < num_clusters) & (fine >= 0) & (fine < num_fine)
    cells = ids[inside] * num_fine + fine[inside]
    counts = torch.bincount(cells, minlength=num_clusters * num_fine)
    counts = torch.cat([counts, (~inside).sum()[None]])
    counts = sum_over_ranks(counts, group)
    if counts[-1] > 0:
        raise ValueError(
            f"{int(counts[-1])} samples have a cluster id outside 0..{num_clusters - 1} "
            f"or a fine label outside 0..{num_fine - 1}"
        )
    if counts.sum() == 0:
        raise ValueError("no samples to match")
    return counts[:-1].reshape(num_clusters, num_fine).cpu()


def _as_labels(counts: NDArray[np.int64]) -> tuple[IdArray, IdArray]:
    """Two labellings (N,) with this contingency table, for scikit-learn."""
    rows, columns = np.indices(counts.shape)
    return np.repeat(rows, counts.ravel()), np.repeat(columns, counts.ravel())
