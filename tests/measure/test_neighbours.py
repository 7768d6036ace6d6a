"""Nearest neighbours by PyTorch, as a GPU searches for them, are those of Faiss's flat index."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from collapse_lit.measure import neighbours
from collapse_lit.measure.neighbours import nearest_neighbours, neighbours_on

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def draw(n: int, r: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, r)).astype(np.float32)


@pytest.mark.parametrize("scratch", [1, 4 * 300 * 7, neighbours.GPU_SCRATCH])
def test_they_are_those_of_faiss(monkeypatch, scratch) -> None:
    """With one point at a time, with seven (300 is no multiple), and with all."""
    monkeypatch.setattr(neighbours, "GPU_SCRATCH", scratch)
    points = draw(300, 8)
    assert (neighbours_on(CPU, points, 10) == nearest_neighbours(points, 10)).all()


def test_by_hand() -> None:
    points = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)
    assert neighbours_on(CPU, points, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_a_point_is_not_its_own_neighbour_beside_a_copy() -> None:
    points = np.array([[5.0], [5.0], [5.0], [9.0]], dtype=np.float32)
    found = neighbours_on(CPU, points, 2)
    assert [set(row) for row in found[:3].tolist()] == [{1, 2}, {0, 2}, {0, 1}]


def test_only_a_large_search_goes_to_the_gpu(monkeypatch) -> None:
    points, there = draw(500, 8), []
    expected = nearest_neighbours(points, 3)

    def stand_in(device, points, count):
        there.append(device)
        return neighbours_on(CPU, points, count)

    monkeypatch.setattr(neighbours, "neighbours_on", stand_in)
    monkeypatch.setattr(neighbours, "GPU_WORTH", points.size * len(points))
    nearest_neighbours(points[:499], 3, CUDA)
    nearest_neighbours(points, 3, CPU)
    assert there == []
    assert (nearest_neighbours(points, 3, CUDA) == expected).all()
    assert there == [CUDA]


def test_threads_take_turns_on_a_gpu(monkeypatch) -> None:
    """So the scratch memory is that of one search, however many classes there are."""
    monkeypatch.setattr(neighbours, "GPU_WORTH", 1)
    searching, most = [], []

    def stand_in(device, points, count):
        searching.append(1)
        most.append(len(searching))
        time.sleep(0.02)
        searching.pop()
        return np.zeros((len(points), count), dtype=np.int64)

    monkeypatch.setattr(neighbours, "neighbours_on", stand_in)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: nearest_neighbours(draw(9, 2), 2, CUDA), range(4)))
    assert most == [1, 1, 1, 1]


def test_every_tensor_of_a_search_is_on_its_device() -> None:
    """Tensors without values that claim to be on a GPU refuse to meet one of the CPU."""
    with FakeTensorMode():
        points = torch.empty(50, 8, device="cuda")
        found = neighbours._nearest(points, 3)
    assert found.device == CUDA
    assert found.shape == (50, 3)
