"""Images per second with random crop and flip on 32×32: this project's loader and torchvision.

    python benchmarks/loading.py

Both read 50,000 random images from memory and return normalised float32 batches of 512. Prints one
Markdown table with the median of all epochs after the first.
"""

import platform
import statistics
import time
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from collapse_lit.data.loader import EpochSampler, TrainLoader
from collapse_lit.data.transforms import Augmentation, channel_statistics, normaliser

N, BATCH, WORKERS = 50_000, 512, 2
EPOCHS = {"torchvision": 3, "collapse_lit": 5}


class Pictures(Dataset):
    """What torchvision.datasets.CIFAR10 does for one image."""

    def __init__(self, images: np.ndarray, mean: list[float], std: list[float]) -> None:
        self.images = images  # (N, 32, 32, 3) uint8
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), 0


def images_per_second(loader: Iterable, device: torch.device, epochs: int) -> float:
    rates = []
    for _ in range(epochs + 1):
        start, n = time.perf_counter(), 0
        for images, _ in loader:
            n += len(images.to(device, non_blocking=True))
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(n / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.randint(0, 256, (N, 3, 32, 32), dtype=torch.uint8)
    mean, std = channel_statistics(images)

    pictures = Pictures(
        images.permute(0, 2, 3, 1).contiguous().numpy(), (mean / 255).tolist(), (std / 255).tolist()
    )
    theirs = DataLoader(
        pictures,
        BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )
    ours = TrainLoader(
        images=images.to(device),
        coarse=torch.zeros(N, dtype=torch.int64),
        device=device,
        batch_size=BATCH,
        sampler=EpochSampler(N, seed=0),
        augmentation=Augmentation(pad=4, flip=True),
        normalise=normaliser((mean, std), (3, 32, 32), device),
    )
    slow = images_per_second(theirs, device, EPOCHS["torchvision"])
    fast = images_per_second(ours, device, EPOCHS["collapse_lit"])
    place = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    threads = torch.get_num_threads()
    print(f"crop, flip and normalise, batches of {BATCH}, {place}, {threads} torch threads\n")
    print("| loader | images/s | n epochs | ratio |\n|---|---:|---:|---:|")
    print(f"| torchvision, {WORKERS} workers | {slow:,.0f} | {EPOCHS['torchvision']} | 1.0 |")
    print(f"| collapse_lit | {fast:,.0f} | {EPOCHS['collapse_lit']} | {fast / slow:.1f} |")


if __name__ == "__main__":
    main()
