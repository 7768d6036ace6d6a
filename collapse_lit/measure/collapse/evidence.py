"""The input of the measures of collapse, and the registry of measures."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from collapse_lit.measure.collapse.levels import Head, Level
from collapse_lit.measure.collapse.statistics import WithinClass


@dataclass(frozen=True, eq=False)
class Evidence:
    """The statistics of one level with C classes in d dimensions; float64, the same on every rank.

    Attributes:
        level: The classes, and the K summed classes of which they consist.
        within: Variances of the summed classes and, if requested, their pooled scatter S.
        along: tr(S Sb⁺), with this level's Sb.
        toward: (K, C), mean over summed class k of ((mu_j − mu_c) · e)², with c the class of k and
            e the residual around the mean of k; None if not computed.
        head: The last linear layer; None without one.
        mismatch: Share of samples for which head and nearest class mean give different classes.
    """

    level: Level
    within: WithinClass
    along: float
    toward: Tensor | None = None
    head: Head | None = None
    mismatch: float = math.nan

    @property
    def centred(self) -> Tensor:
        """(C, d) class means around their mean, M."""
        return self.level.between.centred

    @property
    def variances(self) -> Tensor:
        """(C,) mean of ‖h − mu_c‖² over each class."""
        return self.level.variances(self.within.variances)

    def within_scatter(self) -> Tensor:
        """(d, d) Sw of this level, on the device of the features."""
        level, scatter = self.level, self.within.scatter
        spread = (level.spread * level.shares.sqrt()[:, None]).to(scatter.device)  # (K, d)
        return scatter + spread.T @ spread


Needs = Literal["means", "scatter", "toward", "head"]
Measure = Callable[[Evidence], float]


@dataclass(frozen=True)
class Entry:
    """A measure, and what it needs in addition to means and variances."""

    function: Measure
    needs: Needs
    variant: bool


REGISTRY: dict[str, Entry] = {}


def measure(needs: Needs = "means", variant: bool = False) -> Callable[[Measure], Measure]:
    """Register a function under its name, for every level of every split.

    Args:
        needs: "scatter" (Sw, d×d), "toward", "head", or "means" for nothing more.
        variant: Whether this is an alternative definition, computed only with ``variants=True``.
    """

    def enter(function: Measure) -> Measure:
        REGISTRY[function.__name__] = Entry(function, needs, variant)
        return function

    return enter
