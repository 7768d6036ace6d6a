"""Two processes: each sample is read once, and a failure on one rank is raised on both."""

import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
)

from collapse_lit.callbacks.clean_pass import _fail_together
from collapse_lit.callbacks.shares import share_of
from collapse_lit.errors import UserError

N = 81


class ByRank(Sampler):
    """Every other block of four samples for each rank, by a sampler of one's own."""

    def __init__(self, rank: int) -> None:
        self.chosen = [i for i in range(N) if (i // 4) % 2 == rank]

    def __iter__(self):
        return iter(self.chosen)

    def __len__(self) -> int:
        return len(self.chosen)


class FirstSixty(DistributedSampler):
    def __iter__(self):
        return iter(range(self.rank, 60, 2))


class OwnLoader(DataLoader):
    def __iter__(self):
        yield from super().__iter__()


def shares(rank, group):
    data = TensorDataset(torch.arange(N))
    weights = WeightedRandomSampler([1.0] * N, 40)
    few = TensorDataset(torch.arange(1))
    loaders = {
        "shuffled": DataLoader(data, 8, shuffle=True),
        "distributed": DataLoader(data, 8, sampler=DistributedSampler(data, 2, rank)),
        "by rank": DataLoader(data, 8, sampler=ByRank(rank)),
        "first sixty": DataLoader(data, 8, sampler=FirstSixty(data, 2, rank)),
        "weighted": DataLoader(data, 8, sampler=weights),
        "one": DataLoader(few, 8),
    }
    found = {}
    for name, loader in loaders.items():
        share = share_of(loader, rank, 2)
        read = torch.cat([batch[0] for batch in share.batches]).tolist()
        found[name] = (read, share.positions.tolist(), share.counts)
    try:
        share_of(OwnLoader(data, 8), rank, 2)
    except UserError as error:
        found["own"] = str(error)
    try:
        _fail_together(OSError("gone") if rank == 1 else None, torch.device("cpu"), group)
    except Exception as error:
        found["failure"] = repr(error)
    return found


def test_samples_are_shared_out_once_each(run_on_ranks) -> None:
    first, second = run_on_ranks(shares, 2)
    everything = {"shuffled": N, "distributed": N, "by rank": N, "first sixty": 60}
    for name, samples in everything.items():
        assert sorted(first[name][0] + second[name][0]) == list(range(samples)), name
        assert first[name][0] == first[name][1]
    drawn = first["weighted"][0] + second["weighted"][0]
    assert len(drawn) == 40
    assert sorted(first["weighted"][1] + second["weighted"][1]) == list(range(40))
    assert [one["one"] for one in (first, second)] == [([0], [0], True), ([0], [0], False)]
    assert all("OwnLoader cannot be shared among 2" in one["own"] for one in (first, second))


def test_ranks_fail_together(run_on_ranks) -> None:
    first, second = run_on_ranks(shares, 2)
    assert "another rank" in first["failure"]
    assert "gone" in second["failure"]
