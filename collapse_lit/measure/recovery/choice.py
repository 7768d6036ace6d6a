"""Which space and which number of clusters a coarse class is clustered in, without a fine label."""

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

MOST_CLUSTERS = 8  # that k="auto" considers
GAUSSIAN = -0.186  # ½ ln(π / (π − 2)) − ln 2: separation of a Gaussian cut in two at its mean
REPRODUCIBLE = 0.5  # stability below which clusters are not believed
NEARLY = 0.02  # difference in stability that decides nothing
MOST_UNEQUAL = 3  # clusters that k="auto" looks for where shares are not equal


@dataclass(frozen=True, eq=False)
class Choice:
    """Clusters, those of two halves, and the valleys around them in the halves' numbering."""

    candidate: Candidate
    halves: Halves
    valleys: Valleys

    @property
    def distinct(self) -> bool:
        """Whether a valley lies around each cluster, and the halves agree on them."""
        believed = self.halves.stability >= REPRODUCIBLE
        return self.candidate.k > 1 and believed and float(self.valleys.p.max()) <= VALLEY


@dataclass(frozen=True, eq=False)
class Chooser:
    """Chooses between clusters of one coarse class.

    Attributes:
        spaces: the points (n, r) in each space on offer.
        seed: of all random starts and halves.
        device: where Faiss works.
    """

    spaces: Mapping[Space, FloatArray]
    seed: int
    device: torch.device | None

    def given(self, k: int) -> Choice:
        """``k`` clusters in the best space; unequal ones where only these have a valley.

        The best space has the largest product of stability and separation beyond that of an
        unstructured Gaussian. Separation alone can be high by chance, stability alone for a cut
        that any Gaussian has along its longest axis. The halves, which cost as much as the search
        itself, are left out where even full stability could not win.
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
        """The number of clusters on which halves agree best; of nearly equal ones the best fit.

        Real classes are no Gaussians, and separation alone would split them without end. A number
        needs reproducible clusters and a valley of density around each.
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
        """Clusters by the starts that were not taken, judged by their own shares."""
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
        """Those that are distinct. The halves are left out where all samples show no valley.

        The sharp edge of a lopsided cut may hide one; its halves cost little.
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
        """A space on offer that scales no sample: unit length bends straight lines."""
        return min(self.spaces.items(), key=lambda item: item[0].unit)

    @property
    def _plain(self) -> FloatArray:
        return self.plainest[1]


def choice_score(separation: float, stability: float) -> float:
    """What is chosen by: separation beyond that of an unstructured Gaussian, times stability."""
    return max(separation - GAUSSIAN, 0) * stability


def _score(candidate: Candidate, halves: Halves) -> float:
    return choice_score(candidate.separation, halves.stability)
