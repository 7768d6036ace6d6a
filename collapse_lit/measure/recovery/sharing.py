"""Distribute coarse classes over ranks and threads; no features are exchanged here."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from collapse_lit.measure.distributed import Group, rank_and_size
from collapse_lit.measure.recovery.choice import MOST_CLUSTERS
from collapse_lit.measure.recovery.clusters import ClassClusters


def owners(counts: Sequence[int], numbers: Sequence[int | None], group: Group) -> np.ndarray:
    """(C,) the rank of each coarse class; the largest n·k goes to the least loaded rank."""
    _, size = rank_and_size(group)
    work = np.array([n * (k or MOST_CLUSTERS) for n, k in zip(counts, numbers, strict=True)])
    load = np.zeros(size)
    owners = np.zeros(len(counts), dtype=np.int64)
    for c in np.argsort(-work, kind="stable"):
        owners[c] = load.argmin()
        load[owners[c]] += work[c]
    return owners


def side_by_side(
    work: Callable[[int], ClassClusters], classes: Sequence[int]
) -> list[ClassClusters]:
    """Run ``work`` for each class, one thread per class and no threads inside.

    The kernels are too short to split: waiting threads are slower than a single thread. Features
    on a GPU change nothing: the CPU does most of the work.
    """
    threads = max(min(torch.get_num_threads(), len(classes)), 1)
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1,)) as pool,
    ):
        return list(pool.map(work, classes))
