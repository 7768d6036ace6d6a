"""A rank's share of any loader: each sample once over all ranks, in a fixed order."""

import contextlib
import copy
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch import seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

from collapse_lit.callbacks.loaders import PASS_LOADERS
from collapse_lit.errors import UserError


@dataclass(frozen=True)
class Share:
    """The part of a loader that one rank reads.

    Attributes:
        batches: The batches, to iterate over once.
        positions: (n,) int64 positions in the data set, in the order of the batches. None if
            unknown, as for streams, other loader classes, and data sets that make their own
            batches.
        counts: Whether the samples count. A rank without samples still reads one, to learn its
            shape.
    """

    batches: Iterable[Any]
    positions: Tensor | None = None
    counts: bool = True


def share_of(loader: Iterable[Any], rank: int, world_size: int) -> Share | None:
    """This rank's share of a loader's samples, each once; None if there are no samples.

    A shuffled loader is read in order, so that the order is the same at each epoch. The choice of
    samples is kept, such as the subset or the weights of a sampler. The workers, their
    initialisation and the collate function are kept too.

    Raises:
        UserError: The samples cannot be shared among several ranks.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return Share(loader)  # other loaders, such as ours, shard themselves
    if type(loader).__iter__ is not DataLoader.__iter__:
        _refuse_to_share(loader, world_size)
        return Share(loader)
    size, sampler, options = loader.batch_size, loader.sampler, _options(loader)
    if size is None and type(loader.batch_sampler) is BatchSampler:
        size, sampler = loader.batch_sampler.batch_size, loader.batch_sampler.sampler
    elif size is None and loader.batch_sampler is not None:
        _refuse_to_share(loader.batch_sampler, world_size)
        batches = _drawn(loader.batch_sampler)
        chosen = [int(i) for batch in batches for i in batch]
        unique = len(set(chosen)) == len(chosen)
        positions = torch.tensor(chosen) if unique else torch.arange(len(chosen))
        return Share(DataLoader(loader.dataset, batch_sampler=batches, **options), positions)
    chosen = _positions(sampler)
    if not chosen:
        return None
    mine = chosen[rank::world_size] or chosen[:1]
    counts = rank < len(chosen)
    shared: DataLoader = DataLoader(loader.dataset, batch_size=size, sampler=mine, **options)
    if size is None:
        return Share(shared, counts=counts)
    # Drawn by weights: number the draws, not the samples.
    drawn_again = len(set(chosen)) < len(chosen)
    numbers = range(len(chosen))[rank::world_size] if drawn_again and counts else mine
    return Share(shared, torch.tensor(numbers, dtype=torch.int64), counts)


def _refuse_to_share(owner: Any, world_size: int) -> None:
    if world_size > 1:
        raise UserError(
            f"a {type(owner).__name__} cannot be shared among {world_size} processes; "
            f"{PASS_LOADERS}"
        )


def _options(loader: DataLoader) -> dict[str, Any]:
    """The loader's other options that affect its batches."""
    options = {
        "num_workers": loader.num_workers,
        "collate_fn": loader.collate_fn,
        "pin_memory": loader.pin_memory,
        "timeout": loader.timeout,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
        "generator": torch.Generator().manual_seed(0),  # workers draw their seeds from it
    }
    return options | ({"prefetch_factor": loader.prefetch_factor} if loader.num_workers else {})


def _positions(sampler: Any) -> list[int]:
    """The samples that a sampler chooses, sorted; the same on every rank."""
    if type(sampler).__iter__ in (DistributedSampler.__iter__, DistributedSamplerWrapper.__iter__):
        wrapped = getattr(sampler.dataset, "_sampler", None)  # Lightning wraps another sampler
        return list(range(len(sampler.dataset))) if wrapped is None else _positions(wrapped)
    if type(sampler) is SequentialSampler:
        return list(range(len(sampler.data_source)))
    if type(sampler) is SubsetRandomSampler:
        return sorted(int(i) for i in sampler.indices)
    if type(sampler) is RandomSampler and not sampler.replacement:
        whole = len(sampler.data_source)
        if sampler.num_samples == whole:
            return list(range(whole))
    if isinstance(sampler, range):
        return sorted(sampler)
    draws = [[int(i) for i in _drawn(sampler)]]
    if dist.is_available() and dist.is_initialized():
        draws *= dist.get_world_size()
        dist.all_gather_object(draws, draws[0])
    if all(draw == draws[0] for draw in draws):
        return sorted(draws[0])
    # A sampler that shards its samples by rank; its padding draws samples twice.
    joined = [i for draw in draws for i in draw]
    repeats = any(len(set(draw)) < len(draw) for draw in draws)
    return sorted(joined if repeats else set(joined))


def _drawn(sampler: Any) -> list[Any]:
    """One draw from a copy of a sampler, the same at each epoch.

    Raises:
        UserError: The sampler never ends.
    """
    if not hasattr(sampler, "__len__"):
        raise UserError(f"the sampler {type(sampler).__name__} has no length; {PASS_LOADERS}")
    data = [getattr(sampler, name, None) for name in ("data_source", "dataset")]
    # Otherwise kept_randomness restores the state of the sampler itself.
    with contextlib.suppress(Exception):
        sampler = copy.deepcopy(sampler, {id(one): one for one in data})
    for owner in (sampler, getattr(sampler, "sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(0)
    with isolate_rng():
        seed_everything(0, verbose=False)
        return list(islice(sampler, len(sampler)))
