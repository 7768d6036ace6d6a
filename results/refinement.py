"""What mixtures make of k-means clusters that are right: the measures that could tell harm.

    python results/refinement.py runs/cifar10_resnet_far

One line per coarse class, space and mixture, on the training features of the newest checkpoint.
docs/log/recovery.md says which measure decides.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from collapse_lit.discover.runs import TrainedRun
from collapse_lit.measure.clustering import FloatArray, IdArray, separation, whitened
from collapse_lit.measure.recovery.candidate import candidate_of
from collapse_lit.measure.recovery.mixture import SHRINKAGES, _fit, far_moved
from collapse_lit.measure.recovery.spaces import Space, coordinates
from collapse_lit.measure.recovery.valley import depth_between

HEADS = ("class", "space", "mixture", "accuracy", "ARI", "separation", "valley", "moved from far")


def fitted(points: FloatArray, ids: IdArray, shrinkage: float) -> IdArray:
    """Clusters (n,) of the mixture that starts from clusters (n,)."""
    return _fit(torch.from_numpy(points), torch.from_numpy(ids), 2, shrinkage)[1].numpy()


def refinements(points: FloatArray, ids: IdArray) -> dict[str, tuple[IdArray, IdArray]]:
    """Clusters (n,) before and after each mixture, by its shrinkage; the free one starts last."""
    found = {f"{shrinkage}": (ids, fitted(points, ids, shrinkage)) for shrinkage in SHRINKAGES}
    start = found[f"{SHRINKAGES[0]}"][1]
    return found | {"free": (start, fitted(points, start, 0.0))}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run on coarse classes of two fine ones each")
    samples = TrainedRun(parser.parse_args().run).own_samples()
    assert samples.fine is not None, "these data have no fine labels"
    print(f"| {' | '.join(HEADS)} |\n|---|---|---|{'---:|' * (len(HEADS) - 3)}")
    for c, name in enumerate(samples.coarse_names):
        rows = torch.where(samples.coarse == c)[0]
        truth = np.unique(samples.fine[rows].numpy(), return_inverse=True)[1]

        def accuracy(ids: IdArray, truth: IdArray = truth) -> float:
            agree = float((ids == truth).mean())
            return max(agree, 1 - agree)

        one = torch.zeros(len(rows), dtype=torch.int64)
        for title in ("white32/gmm", "unit-white32/gmm"):
            space = Space.parse(title)
            points = whitened(coordinates(samples.features[rows], one, 1, space, None).numpy())
            start = candidate_of(space, points, 2, 0, None).ids
            print(
                f"| {name} | {title} | k-means | {accuracy(start):.3f} | | "
                f"{separation(points, start, 2):.2f} | {depth_between(points, start, 2):.2f} | |"
            )
            for mixture, (before, after) in refinements(points, start).items():
                values = (
                    f"{accuracy(after):.3f}",
                    f"{adjusted_rand_score(before, after):.2f}",
                    f"{separation(points, after, 2):.2f}",
                    f"{depth_between(points, after, 2):.2f}",
                    f"{far_moved(points, before, after, 2):.4f}",
                )
                print(f"| {name} | {title} | {mixture} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
