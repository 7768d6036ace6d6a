"""Choose the space and the number of clusters of a coarse class without fine labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from collapse_lit.measure.clustering import FloatArray, separation, whitened
from collapse_lit.measure.recovery.candidate import (
    Candidate,
    Halves,
    candidate_of,
    cluster_folds,
    cluster_halves,
)
from collapse_lit.measure.recovery.graph_cut import Found, Start
from collapse_lit.measure.recovery.lopsided import lopsided_split
from collapse_lit.measure.recovery.spaces import Space
from collapse_lit.measure.recovery.valley import VALLEY, Valleys, valleys

MOST_CLUSTERS = 8  # largest number of clusters for k="auto"
GAUSSIAN = -0.186  # ½ ln(π / (π − 2)) − ln 2: separation of a Gaussian cut at its mean
REPRODUCIBLE = 0.5  # clusters with a lower stability are rejected
NEARLY = 0.02  # smaller differences in stability are ignored
MOST_UNEQUAL = 3  # largest number of unequal clusters for k="auto"


@dataclass(frozen=True, eq=False)
class Choice:
    """Clusters, the clusters of two halves, and their valleys in the halves' numbering."""

    candidate: Candidate
    halves: Halves
    valleys: Valleys

    @property
    def distinct(self) -> bool:
        """Whether a valley lies around each cluster, and the halves agree."""
        believed = self.halves.stability >= REPRODUCIBLE
        return self.candidate.k > 1 and believed and float(self.valleys.p.max()) <= VALLEY


@dataclass(frozen=True, eq=False)
class Chooser:
    """Chooses between clusters of one coarse class.

    Attributes:
        spaces: the points (n, r) in each candidate space.
        seed: seed of all random starts and halves.
        device: where large searches run, if it is a GPU.
    """

    spaces: Mapping[Space, FloatArray]
    seed: int
    device: torch.device | None

    def given(self, k: int) -> Choice:
        """``k`` clusters in the best space; unequal clusters if only these have valleys.

        The best space has the largest stability × (separation − separation of an unstructured
        Gaussian). Separation alone can be high by chance. Stability alone is high for a cut along
        the longest axis of any Gaussian. Halves cost as much as the search, so they are skipped if
        even full stability could not win.
        """
        candidates = self._candidates(k)
        by_separation = sorted(candidates, key=lambda c: -round(c.separation, 4))
        best, halves = by_separation[0], self._halves(by_separation[0])
        for other in by_separation[1:]:
            if max(other.separation - GAUSSIAN, 0) > _score(best, halves):
                others = self._halves(other)
                if round(_score(other, others), 4) > round(_score(best, halves), 4):
                    best, halves = other, others
        chosen = self._judged(best, halves)
        if chosen.distinct or k == 1:
            return chosen
        worth = best.own if halves.stability >= REPRODUCIBLE else -np.inf
        unequal = self._believed(c for c in self._unequal(candidates) if c.own > worth)
        return max(unequal, key=lambda choice: choice.candidate.own, default=chosen)

    def estimated(self) -> Choice:
        """The number of clusters with the best agreement of halves; among near ties, the best fit.

        Real classes are not Gaussian, so separation alone would split them endlessly. A number of
        clusters is accepted if the clusters are reproducible and a valley of density lies around
        each.
        """
        n = len(self._plain)
        numbers = range(2, min(MOST_CLUSTERS, n) + 1)
        candidates = {k: self._candidates(k) for k in numbers}
        contenders = self._believed(
            max(of_k, key=lambda c: (c.separation, c.own)) for of_k in candidates.values()
        )
        if not contenders:
            few = [c for k in numbers if k <= MOST_UNEQUAL for c in candidates[k]]
            contenders = self._believed(self._unequal(few))
        if not contenders:
            one = candidate_of(*self.plainest, 1, self.seed, self.device)
            return self._judged(one, self._halves(one))
        most = max(choice.halves.stability for choice in contenders)
        stable = [c for c in contenders if c.halves.stability >= most - NEARLY]
        return max(stable, key=lambda choice: choice.candidate.own)

    def _candidates(self, k: int) -> list[Candidate]:
        return [
            candidate_of(space, points, k, self.seed, self.device)
            for space, points in self.spaces.items()
        ]

    def _unequal(self, candidates: Iterable[Candidate]) -> Iterable[Candidate]:
        """Clusters from the starts that were not chosen, scored with their actual shares."""
        for candidate in candidates:
            others = [candidate.other]
            if candidate.k == 2 and candidate.space.coordinates.white:
                ids = lopsided_split(whitened(candidate.points), self.seed)
                others.append(Found(ids, Start.LOPSIDED))
            for found in others:
                if found is not None:
                    own = separation(candidate.points, found.ids, candidate.k, equal=False)
                    other = replace(candidate, ids=found.ids, start=found.start)
                    if own > -np.inf:  # none is empty
                        yield replace(other, separation=own, own=own)

    def _believed(self, candidates: Iterable[Candidate]) -> list[Choice]:
        """The distinct candidates. Halves are skipped if all samples show no valley.

        The sharp edge of a lopsided cut may hide a valley. Its parts cost little, so they are used.
        """
        n = len(self._plain)
        order = np.random.default_rng(self.seed).permutation(n)
        parts = (order[: n // 2], order[n // 2 :])
        choices = []
        for c in candidates:
            if c.start is not Start.LOPSIDED:
                seen = valleys(self._plain, parts, (c.ids, c.ids), c.k, self.seed, twice=False)
                if seen.p.max() > VALLEY:
                    continue
            halves = self._halves(c)
            if halves.stability >= REPRODUCIBLE:
                choices.append(self._judged(c, halves))
        return [choice for choice in choices if choice.distinct]

    def _halves(self, candidate: Candidate) -> Halves:
        return cluster_halves(candidate, self.seed, self.device)

    def _judged(self, candidate: Candidate, halves: Halves) -> Choice:
        if candidate.start is Start.LOPSIDED:
            rows, ids = cluster_folds(candidate, halves, self.seed, self.device)
        else:
            rows = list(halves.rows)
            ids = [posterior.argmax(axis=1) for posterior in halves.posteriors[::-1]]
        found = valleys(self._plain, rows, ids, candidate.k, self.seed)
        return Choice(candidate, halves, found)

    @property
    def plainest(self) -> tuple[Space, FloatArray]:
        """A candidate space without scaling to unit length, which bends straight lines."""
        return min(self.spaces.items(), key=lambda item: item[0].unit)

    @property
    def _plain(self) -> FloatArray:
        return self.plainest[1]


def choice_score(separation: float, stability: float) -> float:
    """The score of the choice: stability × (separation − that of an unstructured Gaussian)."""
    return max(separation - GAUSSIAN, 0) * stability


def _score(candidate: Candidate, halves: Halves) -> float:
    return choice_score(candidate.separation, halves.stability)
