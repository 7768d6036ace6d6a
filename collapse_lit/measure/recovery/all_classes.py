"""Recover hidden fine classes: clusters inside each coarse class, found without fine labels."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from collapse_lit.measure.clustering import load_faiss
from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    rank_and_size,
    sum_over_ranks,
)
from collapse_lit.measure.recovery.inputs import clusters_per_class, count_samples
from collapse_lit.measure.recovery.one_class import CANDIDATES, ClassClusters, cluster_class
from collapse_lit.measure.recovery.spaces import Space, coordinates, embedded, with_rank

LOPSIDED = 0.2  # a cluster with less than this share of an even split is worth a warning


@dataclass(frozen=True)
class Recovery:
    """The clusters found, what they were found in, and how sure; no fine label was used.

    Attributes:
        ids: (n_local,) int64 cluster ids, unique over coarse classes; the clusters of a coarse
            class are contiguous, coarse classes in order.
        cluster_to_coarse: (K,) int64.
        space: per coarse class, the space and clusterer chosen, such as ``"white32/gmm"``.
        k: per coarse class, the number of clusters.
        separation: nats per sample by which the clusters describe a class better than one Gaussian
            does (``clustering.separation``), mean over coarse classes: what chose the space, and
            comparable between epochs. At or below 0 there is no sub-structure to speak of. NaN in a
            space that is not whitened.
        stability: agreement (adjusted Rand index) of clusterings from two random halves, mean over
            coarse classes, in [0, 1]; 1 for a class with k = 1.
        silhouette: mean silhouette in the plane of ``xy``, mean over coarse classes, in [-1, 1]; an
            unstructured Gaussian cut in two has about 0.5, a class with k = 1 has 0.
        separation_per_class: (C,) values behind ``separation``.
        stability_per_class: (C,) values behind ``stability``.
        silhouette_per_class: (C,) values behind ``silhouette``.
        confidence: (n_local,) float32 in [0, 1], probability of the sample's cluster, averaged over
            the clusterings of all samples and of either half.
        margin: (n_local,) float32 in [-1, 1], ``confidence`` less that of the runner-up.
        sizes: (K,) int64 samples per cluster, over all ranks.
        xy: (n_local, 2) float32, the axes that separate the clusters of the sample's class best.
        warnings: sentences on empty or lopsided clusters.
    """

    ids: Tensor
    cluster_to_coarse: Tensor
    space: tuple[str, ...]
    k: tuple[int, ...]
    separation: float
    stability: float
    silhouette: float
    separation_per_class: tuple[float, ...]
    stability_per_class: tuple[float, ...]
    silhouette_per_class: tuple[float, ...]
    confidence: Tensor
    margin: Tensor
    sizes: Tensor
    xy: Tensor
    warnings: tuple[str, ...] = ()


def recover(
    features: Tensor,
    coarse: Tensor,
    k: int | Sequence[int] | str = 2,
    *,
    num_coarse: int | None = None,
    seed: int = 0,
    index: Tensor | None = None,
    group: Group = None,
    space: str | None = None,
) -> Recovery:
    """Find the clusters inside each coarse class; see ``docs/recovery.md`` for the method.

    With a group, every rank passes its own samples and gets their clusters. Scatter matrices are
    summed, 64 numbers a sample are gathered, and each coarse class is clustered on one rank. The
    result depends on ``seed`` and ``index``, not on how samples lie on ranks.

    Args:
        features: (n_local, d) floating point, CPU or CUDA, any scale and offset.
        coarse: (n_local,) int64 coarse labels.
        k: clusters in every coarse class, or a sequence with one number each, or ``"auto"`` to
            estimate each; then 1 (no sub-structure) is a possible answer and 8 the largest.
        num_coarse: number of coarse classes C, by default the largest label plus one.
        seed: seed of all random starts and halves.
        index: (n_local,) int64 global sample ids, by default the position, ranks in order.
        group: process group whose ranks hold the samples; ``None`` for a single process.
        space: a space and clusterer to force for all classes, such as ``"raw/kmeans"`` (plain Faiss
            k-means) or ``"white16/gmm"``; by default the label-free choice.

    Returns:
        The clusters and their label-free scores.

    Raises:
        ValueError: shapes disagree, a label is out of range, features are not finite, a sample id
            occurs twice, a coarse class has no sample or fewer than k; the message names the class.
        ImportError: Faiss is not installed.
    """
    load_faiss()  # the first thing to fail, and on all ranks, where it is missing
    names = CANDIDATES if space is None else (space,)
    spaces = [Space.parse(name) for name in names]
    if features.dtype not in (torch.float32, torch.float64):
        features = features.float()
    coarse = coarse.to(features.device)
    counts = count_samples(features, coarse, num_coarse, group)
    numbers = clusters_per_class(k, counts)
    index = _global_index(len(features), group, coarse) if index is None else index
    index = index.to(features.device)

    found = [coordinates(features, coarse, len(counts), s, group) for s in spaces]
    widths = [f.shape[1] for f in found]
    everyone = concat_over_ranks(torch.cat(found, dim=1), group).cpu()  # (N, Σ r)
    labels = concat_over_ranks(torch.stack([index, coarse], dim=1), group).cpu()
    index_of, coarse_of = labels.T.contiguous()  # (N,) each
    if not (index_of[1:] > index_of[:-1]).all():
        order = index_of.argsort()
        index_of, coarse_of, everyone = index_of[order], coarse_of[order], everyone[order]
    if (index_of[1:] == index_of[:-1]).any():
        raise ValueError("a sample id occurs twice in index: was the data padded?")

    rank, _ = rank_and_size(group)
    owners = _owners(counts, numbers, group)
    # what each owner finds; zero elsewhere, so that a sum over ranks puts it together
    per_sample = torch.zeros(len(index_of), 5, dtype=torch.float64)
    per_class = torch.zeros(len(counts), 6, dtype=torch.float64)
    mine = np.flatnonzero(owners == rank).tolist()
    rows_of = {c: torch.where(coarse_of == c)[0] for c in mine}

    def cluster(c: int) -> ClassClusters:
        points = everyone[rows_of[c]].split(widths, dim=1)
        offered = {
            name: embedded(p, space, seed).numpy()
            for name, space, p in zip(names, spaces, points, strict=True)
        }
        return cluster_class(offered, numbers[c], seed, features.device)

    for c, clusters in zip(mine, _side_by_side(cluster, mine, features.device), strict=True):
        per_sample[rows_of[c]], per_class[c] = _as_rows(clusters, names)
    per_sample = sum_over_ranks(per_sample.to(features.device), group)
    per_class = sum_over_ranks(per_class.to(features.device), group).cpu()

    local = per_sample[torch.searchsorted(index_of.to(index.device), index)]
    return _assemble(local, per_sample[:, 0].long().cpu(), per_class, coarse, coarse_of, names)


def _global_index(n_local: int, group: Group, like: Tensor) -> Tensor:
    """Sample ids 0..N-1, the ranks' samples one after the other."""
    rank, size = rank_and_size(group)
    lengths = torch.zeros(size, dtype=torch.int64, device=like.device)
    lengths[rank] = n_local
    lengths = sum_over_ranks(lengths, group)
    return torch.arange(n_local, device=like.device) + lengths[:rank].sum()


def _owners(counts: list[int], numbers: list[int | None], group: Group) -> np.ndarray:
    """(C,) the rank that clusters each coarse class: the largest n·k to the least loaded rank."""
    _, size = rank_and_size(group)
    work = np.array([n * (k or 8) for n, k in zip(counts, numbers, strict=True)])
    load = np.zeros(size)
    owners = np.zeros(len(counts), dtype=np.int64)
    for c in np.argsort(-work, kind="stable"):
        owners[c] = load.argmin()
        load[owners[c]] += work[c]
    return owners


def _side_by_side(
    work: Callable[[int], ClassClusters], classes: list[int], device: torch.device
) -> Iterable[ClassClusters]:
    """``work`` for each class, one thread a class and no threads inside.

    The kernels are too short to share out: threads that wait for one another are slower than one.
    """
    threads = 1 if device.type == "cuda" else max(min(torch.get_num_threads(), len(classes)), 1)
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1,)) as pool,
    ):
        return list(pool.map(work, classes))


def _as_rows(clusters: ClassClusters, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """One class as numbers that can be summed over ranks: (n, 5) and (6,) float64."""
    per_sample = np.column_stack([clusters.ids, clusters.confidence, clusters.margin, clusters.xy])
    per_class = [
        names.index(clusters.space),
        clusters.rank,
        clusters.k,
        clusters.separation,
        clusters.stability,
        clusters.silhouette,
    ]
    return torch.from_numpy(per_sample), torch.tensor(per_class, dtype=torch.float64)


def _assemble(
    local: Tensor,
    everyone: Tensor,
    per_class: Tensor,
    coarse: Tensor,
    coarse_of: Tensor,
    names: Sequence[str],
) -> Recovery:
    """The result from this rank's rows (n_local, 5), all ids (N,) and the classes' rows (C, 6)."""
    k = per_class[:, 2].long()
    first = k.cumsum(0) - k  # (C,) id of each class's first cluster
    cluster_to_coarse = torch.repeat_interleave(torch.arange(len(k)), k)
    sizes = torch.bincount(everyone + first[coarse_of], minlength=int(k.sum()))
    separation, stability, silhouette = (tuple(column) for column in per_class[:, 3:].T.tolist())
    return Recovery(
        ids=local[:, 0].long() + first.to(coarse.device)[coarse],
        cluster_to_coarse=cluster_to_coarse,
        space=tuple(with_rank(names[int(i)], int(r)) for i, r in per_class[:, :2]),
        k=tuple(k.tolist()),
        separation=float(np.mean(separation)),
        stability=float(np.mean(stability)),
        silhouette=float(np.mean(silhouette)),
        separation_per_class=separation,
        stability_per_class=stability,
        silhouette_per_class=silhouette,
        confidence=local[:, 1].float(),
        margin=local[:, 2].float(),
        sizes=sizes,
        xy=local[:, 3:].float(),
        warnings=_warnings(sizes, cluster_to_coarse),
    )


def _warnings(sizes: Tensor, cluster_to_coarse: Tensor) -> tuple[str, ...]:
    """A sentence for each coarse class that has an empty or a very small cluster."""
    sentences = []
    for c in cluster_to_coarse.unique().tolist():
        inside = sizes[cluster_to_coarse == c]
        if inside.min() < LOPSIDED * inside.sum() / len(inside):
            sentences.append(
                f"coarse class {c}: clusters of {inside.tolist()} samples; one is "
                f"{'empty' if inside.min() == 0 else 'very small'}"
            )
    return tuple(sentences)
