"""Faiss on a GPU, tested with a stand-in that counts calls."""

import builtins
import sys
from types import SimpleNamespace

import pytest
import torch

from collapse_lit.measure import clustering


@pytest.fixture
def faiss_gpu(monkeypatch):
    """Faiss's GPU classes as far as we use them, and how many of each were made."""
    made = SimpleNamespace(resources=[], indices=[])

    class StandardGpuResources:
        def __init__(self) -> None:
            self.memory = None
            made.resources.append(self)

        def setTempMemory(self, size: int) -> None:  # noqa: N802  # its name
            assert not made.indices  # later it has no effect
            self.memory = size

    def index(resources, r, config):
        made.indices.append((resources, r, config.device))

    faiss = SimpleNamespace(
        StandardGpuResources=StandardGpuResources,
        GpuIndexFlatConfig=SimpleNamespace,
        GpuIndexFlatL2=index,
    )
    monkeypatch.setattr(clustering, "load_faiss", lambda: faiss)
    clustering._gpu_resources.cache_clear()
    yield faiss, made
    clustering._gpu_resources.cache_clear()


def test_all_indices_of_a_device_share_one_set_of_resources(faiss_gpu) -> None:
    faiss, made = faiss_gpu
    for r in (8, 32, 8):
        clustering._flat_index(faiss, r, torch.device("cuda", 0))
    assert [resources.memory for resources in made.resources] == [clustering.GPU_SCRATCH]
    assert made.indices == [(made.resources[0], r, 0) for r in (8, 32, 8)]


def test_a_faiss_without_its_cuda_libraries_is_said_with_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "faiss":
            raise RuntimeError("libcublas.so.12: cannot open shared object file")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(ImportError, match=r"collapse-lit\[gpu\].*libcublas"):
        clustering.load_faiss()
