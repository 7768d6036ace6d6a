"""Score clusters as fine classes on held-out samples, with floor and ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from collapse_lit.measure.distributed import Group, max_over_ranks, mean_over_ranks
from collapse_lit.measure.full_float32 import full_float32
from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.clusters import Recovery
from collapse_lit.measure.recovery.matching import Matching, match_clusters, match_random_clusters
from collapse_lit.measure.recovery.probe import Whitened, fit_whitened, whiten

FLOOR_DRAWS = 3  # of random clusters; each draw costs a probe, like the headline


@dataclass(frozen=True)
class LabelledFeatures:
    """One rank's features with both labels.

    Attributes:
        features: (n_local, d) floating point.
        coarse: (n_local,) int64, 0..C-1; -1 for a class that is not in the training set.
        fine: (n_local,) int64.
        index: (n_local,) int64 global sample ids; None for positions in a single process.
    """

    features: Tensor
    coarse: Tensor
    fine: Tensor
    index: Tensor | None = None


@torch.no_grad()
@full_float32()
def score_recovery(
    found: Recovery,
    train: LabelledFeatures,
    test: LabelledFeatures | None = None,
    *,
    views: Tensor | None = None,
    seed: int = 0,
    group: Group = None,
) -> tuple[dict[str, float], tuple[float, ...]]:
    """Score clusters against fine labels.

    The headline is ``clp_test``, cluster-and-linear-probe. A linear probe is trained on the
    clusters of the training samples, and predicts the test samples. Each predicted cluster counts
    as its matched fine class. The same probe gives ceiling and floor.

    - ``acc``, ``acc_macro``, ``nmi``, ``ari``: scores of the training clusters by
      :func:`match_clusters`.
    - ``acc_raw``: ``acc`` of plain Faiss k-means on the raw features, with the same number of
      clusters.
    - ``clp_test``: share of test samples whose fine class is predicted.
    - ``clp_test_inside``: this share among test samples whose predicted cluster is in the right
      coarse class.
    - ``probe_test``: ceiling, the probe trained on the true fine labels.
    - ``floor``: the probe trained on random clusters, matched in the same way; mean of three draws.
      ``floor_std``: standard deviation of the draws (n - 1 in the denominator).
    - ``chance``: accuracy of a uniform guess inside the true coarse class.

    Args:
        found: The result of :func:`recover` for the training samples.
        train: The training samples.
        test: Held-out samples; None skips the scores that need them.
        views: (v·n_local, d) features of v views of the training samples, view by view, for
            training the probes; by default the samples themselves.
        seed: Seed of the random clusters and of k-means.
        group: Process group whose ranks hold the samples; None for a single process.

    Returns:
        The scores by key, and ``acc`` inside each coarse class.

    Raises:
        ValueError: Samples of one fine class have different coarse labels, or shapes do not fit.

    Example:
        >>> import torch
        >>> from collapse_lit.measure import LabelledFeatures, recover, score_recovery
        >>> fine = torch.arange(400) % 4  # two fine classes in each of two coarse ones
        >>> x = torch.eye(8)[fine] + 0.1 * torch.randn(400, 8, generator=torch.manual_seed(0))
        >>> train, test = (LabelledFeatures(x[s], fine[s] % 2, fine[s]) for s in
        ...                (slice(300), slice(300, 400)))
        >>> found = recover(train.features, train.coarse, k=2)
        >>> scores, _ = score_recovery(found, train, test)
        >>> scores["clp_test"], scores["probe_test"], scores["chance"]
        (1.0, 1.0, 0.5)
    """
    index = torch.arange(len(train.fine)) if train.index is None else train.index
    fine_to_coarse = fine_hierarchy(train.fine, train.coarse, group)
    matching = match_clusters(
        found.ids, train.fine, found.cluster_to_coarse, fine_to_coarse, group=group
    )
    scores = {
        "acc": matching.acc,
        "acc_raw": _plain_kmeans(found, train, index, fine_to_coarse, seed, group).acc,
        "acc_macro": matching.acc_macro,
        "nmi": matching.nmi,
        "ari": matching.ari,
    }
    if test is None:
        return scores, matching.acc_of_coarse
    probing = Probing.of(train, test, len(found.k), views, group)
    answer, right = probing.answers(found.ids, matching.cluster_to_fine)
    inside = found.cluster_to_coarse.to(answer.device)[answer] == test.coarse
    scores["clp_test"] = mean_over_ranks(right, group)
    # a cluster in another coarse class is never right
    scores["clp_test_inside"] = mean_over_ranks(right[inside], group)
    every_fine = torch.arange(len(fine_to_coarse), device=train.fine.device)
    scores["probe_test"] = probing.accuracy(train.fine, every_fine)
    floors = [
        probing.accuracy(ids, matched.cluster_to_fine)
        for ids, matched in match_random_clusters(
            index,
            train.fine,
            train.coarse,
            found.cluster_to_coarse,
            fine_to_coarse,
            floor_seeds(seed),
            group=group,
        )
    ]
    scores["floor"], scores["floor_std"] = float(np.mean(floors)), float(np.std(floors, ddof=1))
    scores["chance"] = _chance(fine_to_coarse, len(found.k), test.coarse, group)
    return scores, matching.acc_of_coarse


def floor_seeds(seed: int) -> Sequence[int]:
    """A seed for each draw of random clusters; different ``seed`` values share no draws."""
    return range(FLOOR_DRAWS * seed, FLOOR_DRAWS * (seed + 1))


def _plain_kmeans(
    found: Recovery,
    train: LabelledFeatures,
    index: Tensor,
    fine_to_coarse: Tensor,
    seed: int,
    group: Group,
) -> Matching:
    """Plain Faiss k-means on the raw features with the same number of clusters, matched to fine
    classes.
    """
    raw = recover(
        train.features,
        train.coarse,
        found.k,
        num_coarse=len(found.k),
        seed=seed,
        index=index,
        group=group,
        space="raw/kmeans",
    )
    return match_clusters(raw.ids, train.fine, raw.cluster_to_coarse, fine_to_coarse, group=group)


@dataclass(frozen=True)
class Probing:
    """The training and test data of all probes.

    Attributes:
        white: (v·n_local, d) training features of v views, with all training samples in each view.
        num_views: v.
        test: The samples to predict.
        group: Process group whose ranks hold the samples.
    """

    white: Whitened
    num_views: int
    test: LabelledFeatures
    group: Group

    @staticmethod
    def of(
        train: LabelledFeatures,
        test: LabelledFeatures,
        num_coarse: int,
        views: Tensor | None,
        group: Group,
    ) -> "Probing":
        """The data of both splits; arguments as for :func:`score_recovery`."""
        views = train.features if views is None else views
        num_views = len(views) // max(len(train.features), 1)
        white = whiten(views, train.coarse.repeat(num_views), num_coarse, group)
        return Probing(white, num_views, test, group)

    def answers(self, targets: Tensor, to_fine: Tensor) -> tuple[Tensor, Tensor]:
        """Train a probe on targets (n_local,) in 0..K-1 and predict the test samples.

        Args:
            targets: Targets of the training samples.
            to_fine: (K,) the fine class of each target.

        Returns:
            The prediction for each test sample, (n_test,) in 0..K-1, and whether it is right.
        """
        repeated = targets.repeat(self.num_views)
        probe = fit_whitened(self.white, repeated, len(to_fine), self.group)
        answer = probe.predict(self.test.features)
        return answer, to_fine.to(answer.device)[answer] == self.test.fine

    def accuracy(self, targets: Tensor, to_fine: Tensor) -> float:
        """Accuracy of such a probe on the test samples of all ranks."""
        return mean_over_ranks(self.answers(targets, to_fine)[1], self.group)


def _chance(fine_to_coarse: Tensor, num_coarse: int, coarse: Tensor, group: Group) -> float:
    """Accuracy of a uniform guess inside the coarse labels (n_test,) of the test samples."""
    known = fine_to_coarse[fine_to_coarse >= 0]
    guess = 1 / torch.bincount(known, minlength=num_coarse)  # (C,)
    guess = torch.cat([guess, guess.new_zeros(1)])  # -1: a class that is not in the training set
    return mean_over_ranks(guess.to(coarse.device)[coarse], group)


def fine_hierarchy(fine: Tensor, coarse: Tensor, group: Group = None) -> Tensor:
    """The coarse class of each fine class, (F,) int64, from the labels of all ranks.

    It is -1 for a fine class without samples.

    Args:
        fine: (n_local,) int64.
        coarse: (n_local,) int64.
        group: Process group whose ranks hold the samples; None for a single process.

    Raises:
        ValueError: Samples of one fine class have different coarse labels.
    """
    size = fine.max().add(1).reshape(1) if len(fine) else fine.new_zeros(1)
    max_over_ranks(size, group)
    fine_to_coarse = torch.full((int(size),), -1, device=fine.device)
    fine_to_coarse[fine] = coarse
    max_over_ranks(fine_to_coarse, group)
    astray = (fine_to_coarse[fine] != coarse).any().long().reshape(1)
    max_over_ranks(astray, group)
    if int(astray):
        raise ValueError("samples of one fine class have different coarse labels")
    return fine_to_coarse
