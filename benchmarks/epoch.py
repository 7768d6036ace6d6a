"""The cost of an epoch beyond its arithmetic: three Markdown tables with ratios from one run.

    python benchmarks/epoch.py

Compares training through Lightning with a bare loop over the same network and batches, the clean
feature pass with bare forward passes, drawing the recovery curve with its clean pass, and measuring
an epoch of the quickstart with training it. Seconds are processor seconds of all threads.
"""

import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from collapse_lit.callbacks import RecoveryMonitor
from collapse_lit.data.labelled import Split
from collapse_lit.data.loader import CleanLoader, EpochSampler, TrainLoader
from collapse_lit.data.transforms import Augmentation, channel_statistics, normaliser
from collapse_lit.features import Features, extract_features
from collapse_lit.hierarchy import make_hierarchy
from collapse_lit.models import CoarseClassifier

CPU = torch.device("cpu")
SHAPE = (3, 32, 32)
TRAINED, PASSED = 4_000, 6_000  # images in the timed part; an epoch has 50,000, a pass 60,000
REPEATS = 3  # the least counts
QUICKSTART = str(Path(__file__).parents[1] / "configs" / "quickstart.yaml")
EPOCHS = 16


def make_model() -> CoarseClassifier:
    torch.manual_seed(0)
    return CoarseClassifier(5, SHAPE, "fast_cnn", lr=0.01, schedule="constant")


def train_loader(images: Tensor, coarse: Tensor) -> TrainLoader:
    return TrainLoader(
        images,
        coarse,
        CPU,
        batch_size=500,
        sampler=EpochSampler(len(images), seed=0),
        augmentation=Augmentation(pad=4, flip=True),
        normalise=normaliser(channel_statistics(images), SHAPE, CPU),
    )


def bare_epoch(images: Tensor, coarse: Tensor) -> Callable[[], None]:
    """An epoch of the shortest loop there is."""
    model, loader = make_model().train(), train_loader(images, coarse)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def run() -> None:
        for batch, labels in loader:
            loss = F.cross_entropy(model(batch), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


class EpochClock(L.Callback):
    """Processor seconds of each training epoch, without starting up and shutting down."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self.start = time.process_time()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop it."""
        self.seconds = [*getattr(self, "seconds", []), time.process_time() - self.start]


def lightning_epochs(images: Tensor, coarse: Tensor) -> list[float]:
    clock = EpochClock()
    trainer = L.Trainer(
        max_epochs=REPEATS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    trainer.fit(make_model(), train_loader(images, coarse))
    return clock.seconds


def clean_loader(images: Tensor) -> CleanLoader:
    fine = torch.arange(len(images)) % 10
    hierarchy = make_hierarchy([str(name) for name in range(10)], "mod", 5)
    normalise = normaliser(channel_statistics(images), SHAPE, CPU)
    return CleanLoader(Split(images, fine), hierarchy, CPU, normalise)


def bare_pass(model: nn.Module, images: Tensor) -> None:
    with torch.inference_mode():
        for batch, *_ in clean_loader(images):
            model(batch)


def draw_curve(splits: dict[str, Features]) -> None:
    RecoveryMonitor().measure(splits, None)


def planted_features(n: int, width: int) -> Features:
    """Two fine classes in each of five coarse ones, three standard deviations apart."""
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(n)
    means = torch.randn(10, width, generator=torch.Generator().manual_seed(1))
    between = means[:5] - means[5:]
    means[5:] = means[:5] + 3 * between / between.norm(dim=1, keepdim=True)
    fine = index % 10
    features = means[fine] + torch.randn(n, width, generator=generator)
    return Features(features, fine % 5, fine, index)


def seconds_of(work: Callable[[], object], repeats: int = REPEATS) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def quickstart(epochs: int, every: int) -> float:
    """Processor seconds of the quickstart on one thread, with its figures and its report."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "collapse_lit", "fit", "--config", QUICKSTART),
                *("--run_dir", folder, "--wandb.mode", "disabled"),
                *("--trainer.max_epochs", str(epochs)),
                *("--collapse.every_n_epochs", str(every)),
                *("--recovery.every_n_epochs", str(every)),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
        )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def main() -> None:
    warnings.filterwarnings("ignore", message=".*(num_workers|LeafSpec|logging interval)")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    images = torch.randint(0, 256, (PASSED, *SHAPE), dtype=torch.uint8)
    some, coarse = images[:TRAINED], torch.arange(TRAINED) % 5
    bare = seconds_of(bare_epoch(some, coarse))
    lightning = min(lightning_epochs(some, coarse))

    model = make_model().eval()
    forward = seconds_of(lambda: bare_pass(model, images))
    clean = seconds_of(lambda: extract_features(model, clean_loader(images), "head", device=CPU))
    width = model.head.in_features
    splits = {"train": planted_features(50_000, width), "test": planted_features(10_000, width)}
    curve = seconds_of(lambda: draw_curve(splits), repeats=2)

    threads = torch.get_num_threads()
    print(f"fast_cnn on {TRAINED:,} random images 3×32×32, batches of 500, {threads} threads\n")
    print("| one epoch of training | processor seconds | ÷ bare loop |\n|---|---:|---:|")
    print(f"| bare PyTorch loop, same network and batches | {bare:.2f} | 1 |")
    print(f"| through Lightning, loss logged | {lightning:.2f} | {lightning / bare:.3f} |")
    whole = 60_000 / PASSED
    print(f"\n{PASSED:,} images passed, and so for 60,000; {width} features\n")
    print("| measuring an epoch of CIFAR-10 | processor seconds | ÷ clean pass |\n|---|---:|---:|")
    print(f"| bare forward passes | {forward * whole:.1f} | {forward / clean:.2f} |")
    print(f"| clean feature pass | {clean * whole:.1f} | 1 |")
    print(
        f"| the recovery curve: choice, baseline, three probes | {curve:.1f} "
        f"| {curve / (clean * whole):.3f} |"
    )

    short, long = (quickstart(epochs, every=epochs) for epochs in (1, EPOCHS))
    training = (long - short) / (EPOCHS - 1)
    measuring = (quickstart(EPOCHS, every=1) - long) / (EPOCHS - 1)
    print(f"\nQuickstart, {EPOCHS} epochs, one thread; measuring with what is drawn and written\n")
    print("| an epoch of the quickstart | processor seconds | ÷ training |\n|---|---:|---:|")
    print(f"| training | {training:.2f} | 1 |")
    print(f"| measuring | {measuring:.2f} | {measuring / training:.2f} |")


if __name__ == "__main__":
    main()
