"""Faiss on a GPU, tested with a stand-in that counts calls."""

import builtins
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
import torch

from collapse_lit.measure import neighbours
from collapse_lit.measure.clustering import kmeans
from collapse_lit.measure.neighbours import GPU_WORTH, FlatIndex
from collapse_lit.measure.recovery.sharing import side_by_side

CUDA = torch.device("cuda", 0)


@pytest.fixture
def faiss_gpu(monkeypatch):
    """Faiss's GPU classes as far as we use them, with the CPU behind, and what was made of them."""
    made = SimpleNamespace(resources=[], indices=[], searching=0, most_searching=0)

    class StandardGpuResources:
        def __init__(self) -> None:
            self.memory = None
            made.resources.append(self)

        def setTempMemory(self, size: int) -> None:  # noqa: N802  # its name
            assert not made.indices  # later it has no effect
            self.memory = size

    class GpuIndexFlatL2(faiss.IndexFlatL2):
        def __init__(self, resources, r, config) -> None:
            super().__init__(r)
            made.indices.append((resources, r, config.device))

        def search(self, points, count):
            made.searching += 1
            made.most_searching = max(made.most_searching, made.searching)
            time.sleep(0.05)
            found = super().search(points, count)
            made.searching -= 1
            return found

    monkeypatch.setattr(faiss, "StandardGpuResources", StandardGpuResources, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatL2", GpuIndexFlatL2, raising=False)
    neighbours._gpu_resources.cache_clear()
    yield made
    neighbours._gpu_resources.cache_clear()


def test_all_indices_of_a_device_share_one_set_of_resources(faiss_gpu) -> None:
    for r in (8, 32, 8):
        FlatIndex(r, GPU_WORTH, CUDA)
    assert [resources.memory for resources in faiss_gpu.resources] == [neighbours.GPU_SCRATCH]
    assert faiss_gpu.indices == [(faiss_gpu.resources[0], r, 0) for r in (8, 32, 8)]


def test_only_large_clusters_go_to_the_gpu(faiss_gpu, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "GPU_WORTH", 500 * 8 * 2 * 20)
    points = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    on_cpu = kmeans(points, 2, seed=0)
    kmeans(points[:499], 2, seed=0, device=CUDA)
    assert not faiss_gpu.indices
    assert (kmeans(points, 2, seed=0, device=CUDA) == on_cpu).all()
    assert len(faiss_gpu.indices) == 1


def test_searches_of_several_threads_take_turns_on_a_gpu(faiss_gpu, monkeypatch) -> None:
    """Faiss: one set of resources is for one thread at a time."""
    monkeypatch.setattr(neighbours, "GPU_WORTH", 1)
    points = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: kmeans(points, 2, seed, device=CUDA), range(4)))
    assert len(faiss_gpu.indices) == 4
    assert faiss_gpu.most_searching == 1


def test_classes_are_clustered_side_by_side_wherever_features_are(monkeypatch) -> None:
    """Each class waits for the other: one after the other would never end."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = Barrier(2, timeout=10)
    assert sorted(side_by_side(lambda c: (both.wait(), c)[1], [0, 1])) == [0, 1]


def test_a_faiss_without_its_cuda_libraries_is_said_with_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "faiss":
            raise RuntimeError("libcublas.so.12: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ImportError, match=r"collapse-lit\[gpu\].*libcublas"):
        neighbours.load_faiss()
