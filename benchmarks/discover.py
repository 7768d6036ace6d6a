"""The cost of ``collapse-lit discover``: seconds of each step, as a Markdown table.

Planted Gaussians, 10 classes × 10,000 samples × 512 features. Class c has c mod 4 + 1 sub-classes,
five standard deviations from the class's centre, and their number is estimated.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from collapse_lit.discover import Samples, agree, discover, make_samples
from collapse_lit.discover.gallery import choose_members

CLASSES, SAMPLES, FEATURES, DISTANCE = 10, 10_000, 512, 5.0


def planted(seed: int = 0) -> Samples:
    """Samples whose fine labels are all known."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.arange(CLASSES * SAMPLES) % CLASSES
    fine = (torch.rand(len(coarse), generator=generator) * (coarse % 4 + 1)).long()
    centres = torch.randn(CLASSES, FEATURES, generator=generator)
    means = torch.randn(CLASSES, 4, FEATURES, generator=generator)
    means = centres[:, None] + DISTANCE * means / means.norm(dim=2, keepdim=True)
    features = means[coarse, fine] + torch.randn(len(coarse), FEATURES, generator=generator)
    return make_samples(features, list(map(str, coarse.tolist())), list(map(str, fine.tolist())))


@contextmanager
def timed(step: str) -> Iterator[None]:
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {step} | {wall:.1f} | {processor:.1f} |", flush=True)


def main() -> None:
    samples = planted()
    print(f"{CLASSES} × {SAMPLES:,} × {FEATURES}, k = auto, {torch.get_num_threads()} threads\n")
    print("| step | seconds | processor seconds |\n|---|---:|---:|")
    with timed("clusters, their number and how sure"):
        found = discover(samples)
    with timed("clusters, their number given"):
        discover(samples, k={samples.coarse_names[c.coarse]: c.k for c in found.classes})
    with timed("clusters, four in each class"):
        discover(samples, k=4)
    with timed("members for the gallery"):
        choose_members(samples, found)
    with timed("agreement with all fine labels, floor and ceiling"):
        scores = agree(samples, found)
    right = sum(classes.k == classes.coarse % 4 + 1 for classes in found.classes)
    print(f"\nNumber of sub-classes right in {right} of {CLASSES} classes", end="")
    print(f"; accuracy {scores.accuracy:.4f}" if scores else "")


if __name__ == "__main__":
    main()
