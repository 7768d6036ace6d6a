"""Exact nearest neighbours: by PyTorch on this process's own GPU, by Faiss on the CPU."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import RLock
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collapse_lit.measure.full_float32 import full_float32

GPU_WORTH = 10**9  # multiplications of a search; with fewer the CPU is done sooner
GPU_SCRATCH = 256 * 2**20  # bytes of device memory for intermediate results

_TURN = RLock()  # searches on a GPU: Faiss's resources serve one thread at a time
_REMEMBERED: ContextVar[dict[bytes, NDArray[np.int64]] | None] = ContextVar("_REMEMBERED")


@contextmanager
def remembered_neighbours() -> Iterator[None]:
    """Inside, the neighbours of equal points are searched once.

    A class is clustered into several numbers of clusters, each from the same graph.
    """
    token = _REMEMBERED.set({})
    try:
        yield
    finally:
        _REMEMBERED.reset(token)


def nearest_neighbours(
    points: NDArray[np.float32], count: int, device: torch.device | None = None
) -> NDArray[np.int64]:
    """(n, count) the nearest of all points (n, r) to each, itself left out.

    Large searches run on the device, if it is a GPU. Classes are clustered side by side; their
    searches on a GPU take turns, which limits its scratch memory.

    Args:
        points: (n, r) float32.
        count: number of neighbours, less than n.
        device: where the features are.

    Raises:
        ImportError: Faiss is needed and not installed; the message names the extras.
    """
    remembered = _REMEMBERED.get(None)
    if remembered is None:
        return _searched(points, count, device)
    key = hashlib.blake2b(points.tobytes(), key=repr((points.shape, count)).encode()).digest()
    if key not in remembered:
        remembered[key] = _searched(points, count, device)
    return remembered[key]


def _searched(
    points: NDArray[np.float32], count: int, device: torch.device | None
) -> NDArray[np.int64]:
    work = points.size * len(points)
    if device is not None and worth_a_gpu(device, work):
        with _TURN:
            return neighbours_on(device, points, count)
    with FlatIndex(points.shape[1], work).alone() as index:
        index.add(points)
        _, ids = index.search(points, count + 1)
    return np.asarray(ids[:, 1:])


@full_float32()
def neighbours_on(
    device: torch.device, points: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """:func:`nearest_neighbours` by products of matrices on a device."""
    return _nearest(torch.from_numpy(points).to(device), count).cpu().numpy()


def _nearest(points: Tensor, count: int) -> Tensor:
    """(n, count) int64 neighbours of points (n, r), for as many points at a time as
    :data:`GPU_SCRATCH` holds.
    """
    n = len(points)
    squares = points.square().sum(dim=1)
    rows = max(GPU_SCRATCH // (n * points.element_size()), 1)
    found = []
    for some in torch.arange(n, device=points.device).split(rows):
        # |x - y|² without |x|², which does not change the order; Faiss computes it so too
        far = torch.addmm(squares, points[some], points.T, alpha=-2)  # (rows, n)
        far.scatter_(1, some[:, None], torch.inf)
        found.append(far.topk(count, largest=False).indices)
    return torch.cat(found)


def worth_a_gpu(device: torch.device, work: int) -> bool:
    """Whether so many multiplications are sooner done on the device."""
    return device.type == "cuda" and work >= GPU_WORTH


class FlatIndex:
    """An index that compares all points, used by one thread at a time.

    It is on the GPU where the points come from one, Faiss can use it, and there is enough to do.
    Classes are clustered side by side; their searches on a GPU take turns.

    Args:
        r: coordinates of a point.
        work: multiplications of all searches.
        device: where the points come from.

    Raises:
        ImportError: Faiss is not installed; the message names the extras.
    """

    def __init__(self, r: int, work: int, device: torch.device | None = None) -> None:
        self.faiss = load_faiss()
        large = device is not None and worth_a_gpu(device, work)
        self.on_gpu = large and hasattr(self.faiss, "StandardGpuResources")
        if self.on_gpu and device is not None:
            number = torch.cuda.current_device() if device.index is None else device.index
            self._index = self._of_gpu(r, number)
        else:
            self._index = self.faiss.IndexFlatL2(r)

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """Faiss's index, in one thread of its own.

        Threads that wait for one another made Faiss twenty times slower on a busy machine.
        """
        threads = self.faiss.omp_get_max_threads()
        if self.on_gpu:
            _TURN.acquire()
        self.faiss.omp_set_num_threads(1)
        try:
            yield self._index
        finally:
            self.faiss.omp_set_num_threads(threads)
            if self.on_gpu:
                _TURN.release()

    def _of_gpu(self, r: int, device: int) -> Any:
        """On this process's own device: ``Kmeans(gpu=True)`` would take them all."""
        config = self.faiss.GpuIndexFlatConfig()
        config.device = device
        with _TURN:
            return self.faiss.GpuIndexFlatL2(_gpu_resources(device), r, config)


@cache
def _gpu_resources(device: int) -> Any:
    """Faiss's scratch memory, streams and handles on a device: one set a process.

    Faiss takes up to 1.5 GiB with the first index of a set, so the size is set before.
    """
    resources = load_faiss().StandardGpuResources()
    resources.setTempMemory(GPU_SCRATCH)
    logging.getLogger(__name__).info("Faiss searches large classes on cuda:%d", device)
    return resources


def load_faiss() -> ModuleType:
    """Faiss, imported when it is first needed: its OpenMP does not like a fork after it.

    Raises:
        ImportError: There is none, or it lacks a library of its own; the message says what to do.
    """
    try:
        import faiss
    except (ImportError, RuntimeError, OSError) as error:  # faiss-gpu without CUDA's libraries
        raise ImportError(
            'recovery needs faiss: pip install "collapse-lit[cpu]", '
            'or "collapse-lit[gpu]" on a machine with an NVIDIA GPU'
            f" (import faiss: {error})"
        ) from error
    return faiss
