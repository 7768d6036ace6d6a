"""The cost of recovering the fine classes, as one Markdown table.

The data are planted Gaussians: 5 coarse classes × 10,000 samples × 512 features, with two fine
classes in each. Compares ``recover`` with scikit-learn's KMeans with the same ten restarts, and
with openTSNE on one class if it is installed. ``recover`` also clusters two halves of each class to
measure stability. Seconds are processor seconds of all threads.
"""

import os
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor

from collapse_lit.measure import fit_probe, match_clusters, random_clusters, recover
from collapse_lit.measure.clustering import kmeans

COARSE, SAMPLES, FEATURES = 5, 10_000, 512
DISTANCE = 3.0  # between two fine classes, in their standard deviations: Bayes accuracy .933


def planted(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, d), coarse and fine labels (N,)."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.arange(COARSE * SAMPLES) % (2 * COARSE)
    means = torch.randn(2 * COARSE, FEATURES, generator=generator)
    halves = means[:COARSE] - means[COARSE:]
    means[COARSE:] = means[:COARSE] + DISTANCE * halves / halves.norm(dim=1, keepdim=True)
    noise = torch.randn(len(fine), FEATURES, generator=generator)
    return means[fine] + noise, fine % COARSE, fine


def with_scikit_learn(features: Tensor, coarse: Tensor) -> Tensor:
    """(N,) cluster ids of KMeans(n_init=10) inside each coarse class."""
    ids = torch.zeros_like(coarse)
    for c in range(COARSE):
        mine = coarse == c
        found = KMeans(2, n_init=10, random_state=0).fit_predict(features[mine].numpy())
        ids[mine] = 2 * c + torch.from_numpy(found).long()
    return ids


def with_mixture(features: Tensor, coarse: Tensor) -> Tensor:
    """(N,) ids of scikit-learn's mixture, free covariances, one start, in 32 whitened axes."""
    ids = torch.zeros_like(coarse)
    for c in range(COARSE):
        mine = coarse == c
        x = PCA(32, whiten=True, random_state=0).fit_transform(features[mine].numpy())
        found = GaussianMixture(2, random_state=0).fit_predict(x)
        ids[mine] = 2 * c + torch.from_numpy(found).long()
    return ids


def with_faiss(features: Tensor, coarse: Tensor) -> Tensor:
    """(N,) cluster ids of our k-means with ten restarts inside each coarse class."""
    ids = torch.zeros_like(coarse)
    for c in range(COARSE):
        mine = coarse == c
        ids[mine] = 2 * c + torch.from_numpy(kmeans(features[mine].numpy(), 2, 0, restarts=10))
    return ids


def with_tsne(features: Tensor, coarse: Tensor) -> Tensor:
    """(N,) cluster ids of k-means on a t-SNE map of the first coarse class, the rest at random."""
    from openTSNE import TSNE

    mine = coarse == 0
    ids = random_clusters(torch.arange(len(coarse)), coarse, 2, 0)
    embedded = np.asarray(TSNE(random_state=0).fit(features[mine].numpy()))
    ids[mine] = torch.from_numpy(KMeans(2, n_init=10, random_state=0).fit_predict(embedded)).long()
    return ids


def measured(run: Callable[[], Tensor], fine: Tensor, classes: int = COARSE) -> tuple[float, float]:
    """Processor seconds of ``run`` and the matched accuracy in the first coarse classes."""
    start = time.process_time()
    ids = run()
    seconds = time.process_time() - start
    coarse_of_fine = torch.arange(2 * COARSE) % COARSE
    some = fine % COARSE < classes
    cluster_to_coarse = torch.arange(2 * COARSE) // 2
    return seconds, match_clusters(ids[some], fine[some], cluster_to_coarse, coarse_of_fine).acc


def waited(features: Tensor, coarse: Tensor, threads: int) -> float:
    """Seconds by the clock of ``recover`` with so many classes at a time."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    start = time.perf_counter()
    recover(features, coarse, 2)
    seconds = time.perf_counter() - start
    torch.set_num_threads(before)
    return seconds


def main() -> None:
    features, coarse, fine = planted()
    recover(features[:500], coarse[:500], 2)  # imports and first calls
    fit_probe(features[:500], fine[:500], 2 * COARSE)
    reference = measured(lambda: with_scikit_learn(features, coarse), fine)
    rows = [("scikit-learn KMeans(n_init=10)", reference)]
    mixture = measured(lambda: with_mixture(features, coarse), fine)
    rows.append(("scikit-learn GaussianMixture, 32 whitened axes, one start", mixture))
    rows.append(("our k-means, ten restarts", measured(lambda: with_faiss(features, coarse), fine)))
    for title, space in [
        ("`recover`, `raw/kmeans` (3 restarts: the baseline)", "raw/kmeans"),
        ("`recover`, `pca32/kmeans` (10 restarts)", "pca32/kmeans"),
        ("`recover`, `white32/gmm`", "white32/gmm"),
        ("`recover`, the label-free choice (default)", None),
    ]:

        def ids(space: str | None = space) -> Tensor:
            return recover(features, coarse, 2, space=space).ids

        rows.append((title, measured(ids, fine)))
    ratio = rows[-1][1][0] / mixture[0]
    if find_spec("openTSNE"):
        embedded = measured(lambda: with_tsne(features, coarse), fine, classes=1)
        rows.append(("openTSNE, then k-means (one class only)", embedded))
    start = time.process_time()
    fit_probe(features, fine, 2 * COARSE)
    probe = time.process_time() - start

    one_by_one, side_by_side = (waited(features, coarse, threads) for threads in (1, COARSE))
    print(f"{COARSE} × {SAMPLES:,} × {FEATURES}, k = 2, {torch.get_num_threads()} threads")
    print("\n| method | processor seconds | × faster | accuracy |\n|---|---|---|---|")
    for title, (seconds, accuracy) in rows:
        print(f"| {title} | {seconds:.2f} | {reference[0] / seconds:.1f} | {accuracy:.4f} |")
    print(f"| a linear probe on {2 * COARSE} classes | {probe:.2f} | | |")
    print(f"\nThe label-free choice costs {ratio:.1f} times scikit-learn's mixture.")
    print(
        f"Classes side by side on {min(COARSE, os.cpu_count() or 1)} cores take "
        f"{side_by_side / one_by_one:.2f} of the time of one after the other."
    )
    start = time.process_time()
    recover(torch.randn(40, 4096), torch.arange(40) % 2, 2)
    print(f"40 samples of 4,096 features: {time.process_time() - start:.2f} processor seconds.")


if __name__ == "__main__":
    main()
