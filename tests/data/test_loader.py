import threading

import pytest
import torch

from collapse_lit.data.labelled import Split
from collapse_lit.data.loader import (
    CleanLoader,
    EpochSampler,
    TrainLoader,
    epoch_order,
    stream_rows,
)
from collapse_lit.data.transforms import Augmentation, normaliser
from collapse_lit.hierarchy import make_hierarchy

CPU = torch.device("cpu")


def vectors(n):
    """n vectors of which the first number is the index."""
    return torch.arange(n, dtype=torch.float32)[:, None]


def train_loader(n, batch_size, rank=0, world_size=1):
    return TrainLoader(
        images=vectors(n),
        coarse=torch.arange(n) % 3,
        device=CPU,
        batch_size=batch_size,
        sampler=EpochSampler(n, seed=0, rank=rank, world_size=world_size),
        augmentation=Augmentation(),
        normalise=normaliser(None, (1,), CPU),
    )


def seen(loader):
    return [int(i) for images, _ in loader for i in images[:, 0]]


def test_order_is_a_new_permutation_each_epoch_and_for_each_seed():
    first, again = epoch_order(20, seed=0, epoch=0), epoch_order(20, seed=0, epoch=0)
    assert first.equal(again)
    assert sorted(first.tolist()) == list(range(20))
    assert not first.equal(epoch_order(20, seed=0, epoch=1))
    assert not first.equal(epoch_order(20, seed=1, epoch=0))
    assert not epoch_order(20, 0, 1).equal(epoch_order(20, 1, 0))


def test_ranks_share_the_samples_without_repeats():
    shares = [epoch_order(11, 0, 0, rank, 3).tolist() for rank in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert len({i for share in shares for i in share}) == 9
    left_out = {
        frozenset(range(11)) - {i for r in range(3) for i in epoch_order(11, 0, e, r, 3).tolist()}
        for e in range(5)
    }
    assert len(left_out) > 1  # not the same two samples each time


def test_two_ranks_see_in_each_step_what_one_rank_sees_with_twice_the_batch():
    alone = list(train_loader(20, batch_size=6))
    ranks = zip(*(train_loader(20, 3, rank, world_size=2) for rank in range(2)), strict=True)
    for (images, _), shares in zip(alone, ranks, strict=True):
        assert set(images[:, 0].tolist()) == {i for x, _ in shares for i in x[:, 0].tolist()}


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"), [(10, 5, [5, 5]), (11, 5, [5, 5]), (3, 5, [3])]
)
def test_a_smaller_last_batch_is_dropped_unless_it_is_the_only_one(n, batch_size, sizes):
    loader = train_loader(n, batch_size)
    assert [len(images) for images, _ in loader] == sizes
    assert len(loader) == len(sizes)


def test_training_labels_belong_to_their_images():
    for images, coarse in train_loader(20, 5):
        assert coarse.tolist() == [int(i) % 3 for i in images[:, 0]]


def test_epoch_set_after_iter_counts():
    """Lightning asks for the iterator before it sets the epoch."""
    loader = train_loader(20, 5)
    iterator = iter(loader)
    loader.sampler.set_epoch(4)
    assert seen(iterator) == epoch_order(20, 0, 4).tolist()


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_clean_loaders_show_every_sample_once(world_size):
    hierarchy = make_hierarchy(("a", "b", "c", "d"), "mod", 2)
    split = Split(vectors(10), torch.arange(10) % 4)
    shown = []
    for rank in range(world_size):
        loader = CleanLoader(
            split, hierarchy, CPU, normaliser(None, (1,), CPU), rank, world_size, 2
        )
        batches = list(loader)
        assert len(batches) == len(loader)
        for images, coarse, fine, index in batches:
            assert images[:, 0].tolist() == index.tolist()
            assert fine.tolist() == [i % 4 for i in index.tolist()]
            assert coarse.tolist() == [i % 2 for i in index.tolist()]
            shown += index.tolist()
    assert sorted(shown) == list(range(10))


def test_streamed_rows_are_the_rows_asked_for_in_order():
    indices = list(torch.randperm(100).split(7))
    rows = list(stream_rows(vectors(100), indices, CPU))
    assert all(r[:, 0].long().equal(i) for r, i in zip(rows, indices, strict=True))


def test_streaming_that_is_left_early_leaves_no_thread():
    before = threading.active_count()
    rows = stream_rows(vectors(100), list(torch.arange(100).split(2)), CPU)
    next(rows)
    rows.close()
    assert threading.active_count() == before
