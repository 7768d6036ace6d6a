"""Batches on the training device, with the same order and augmentation for every data location."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from collapse_lit.data.labelled import Split
from collapse_lit.data.transforms import ORDER, Augmentation, Normalise, random_stream
from collapse_lit.hierarchy import Hierarchy

READERS = 4  # threads that read rows from outside the device, one batch each


def epoch_order(n: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1) -> Tensor:
    """The training samples of one rank in one epoch, in order.

    All ranks shuffle in the same way and take every world_size-th sample. In step k they together
    see the same samples as one device with a world_size times larger batch. The n mod world_size
    samples beyond equal shares are skipped; they differ between epochs.

    Returns:
        indices, (n // world_size,) int64.
    """
    order = torch.randperm(n, generator=random_stream(seed, epoch, ORDER))
    return order[: n - n % world_size][rank::world_size]


class EpochSampler:
    """The order of the samples; Lightning calls ``set_epoch`` at the start of every epoch."""

    def __init__(self, n: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.n, self.seed, self.rank, self.world_size = n, seed, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines order and augmentation."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n // self.world_size

    def order(self) -> Tensor:
        """Indices of this rank's samples in this epoch, (n // world_size,)."""
        return epoch_order(self.n, self.seed, self.epoch, self.rank, self.world_size)


class TrainLoader:
    """Shuffled, augmented, normalised batches ``(images (B, C, H, W), coarse (B,))`` on the device.

    An incomplete last batch is dropped, unless it is the only one, because BatchNorm fails on a
    batch of one image.
    """

    def __init__(
        self,
        images: Tensor,
        coarse: Tensor,
        device: torch.device,
        batch_size: int,
        sampler: EpochSampler,
        augmentation: Augmentation,
        normalise: Normalise,
        ahead: bool = False,
    ) -> None:
        self.images, self.coarse, self.ahead = images, coarse.to(device), ahead
        self.device, self.batch_size = device, batch_size
        self.sampler, self.augmentation, self.normalise = sampler, augmentation, normalise

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size or min(n, 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        sampler = self.sampler
        order = sampler.order()[: len(self) * self.batch_size]
        augment = self.augmentation.draw(sampler.n, sampler.seed, sampler.epoch, self.device)
        args = (self.images, order, self.batch_size, self.device, self.ahead)
        for index, images in fetch_rows(*args):
            yield self.normalise(augment(images, index)), self.coarse[index]


class CleanLoader:
    """Every sample exactly once, unaugmented, for measuring.

    Rank r of w takes the samples r, r+w, r+2w… Nothing is padded, so shares may differ by one
    sample. Batches are ``(images (B, C, H, W), coarse (B,), fine (B,), index (B,))`` on the device.
    """

    def __init__(
        self,
        split: Split,
        hierarchy: Hierarchy,
        device: torch.device,
        normalise: Normalise,
        rank: int = 0,
        world_size: int = 1,
        batch_size: int = 512,
    ) -> None:
        self.images, self.fine, self.ahead = split.images, split.labels.to(device), split.ahead
        self.coarse = hierarchy.coarse(self.fine)
        self.device, self.batch_size, self.normalise = device, batch_size, normalise
        self.order = torch.arange(rank, len(split.labels), world_size)

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        args = (self.images, self.order, self.batch_size, self.device, self.ahead)
        for index, images in fetch_rows(*args):
            yield self.normalise(images), self.coarse[index], self.fine[index], index


def fetch_rows(
    images: Tensor, order: Tensor, batch_size: int, device: torch.device, ahead: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Index (B,) and rows (B, …) of each batch, on the device or streamed to it.

    Args:
        images: (N, …) on the device, in memory or in a memory-mapped file.
        order: (n,) int64 rows to fetch, on the CPU.
        batch_size: rows per batch B.
        device: device of the batches.
        ahead: whether threads read batches ahead of a CPU too, as from a disk.
    """
    starts = range(0, len(order), batch_size)
    on_device = order.to(device)  # in one copy: a copy per batch would make the device wait
    indices = [on_device[start : start + batch_size] for start in starts]
    if images.device.type == device.type and not ahead:
        rows: Iterator[Tensor] = (images.index_select(0, index) for index in indices)
    else:
        rows = stream_rows(images, [order[start : start + batch_size] for start in starts], device)
    yield from zip(indices, rows, strict=True)


def stream_rows(
    images: Tensor, indices: Sequence[Tensor], device: torch.device
) -> Iterator[Tensor]:
    """Rows of a (memory-mapped) array outside the device, read ahead by a few threads.

    Threads are enough, because reading rows releases the interpreter lock. Unlike worker processes,
    they need no fork after CUDA or Faiss has started, no pickling, and no restart at each epoch.
    """
    pin = device.type == "cuda"

    def read(index: Tensor) -> Tensor:
        rows = images.index_select(0, index)
        return rows.pin_memory() if pin else rows

    ahead: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for index in indices:
            ahead.append(readers.submit(read, index))
            if len(ahead) > READERS:
                yield ahead.popleft().result().to(device, non_blocking=pin)
        while ahead:
            yield ahead.popleft().result().to(device, non_blocking=pin)
