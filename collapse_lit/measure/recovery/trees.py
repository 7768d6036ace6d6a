"""A regression by extremely randomised trees, for a few hundred samples.

Geurts, Ernst, Wehenkel, "Extremely randomized trees", Machine Learning 63 (2006). The trees and
their predictions are those of scikit-learn's ``ExtraTreesRegressor`` with bootstrap samples. That
class spends most of its time around the trees if samples are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.metrics import r2_score
from sklearn.tree import ExtraTreeRegressor

TREES, LEAF, FEATURES = 40, 25, 0.5  # trees, samples per leaf, share of features tried at a split
_TURN = Lock()  # scikit-learn changes the warning filters of the whole process while it fits

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trees:
    """Fitted trees.

    Attributes:
        trees: each predicts alone.
        r2: coefficient of determination on samples that a tree was not fitted to.
    """

    trees: Sequence[Any]
    r2: float

    @classmethod
    def fitted(cls, points: Points, targets: Points, seed: int) -> "Trees":
        """Fit trees that predict the targets (n,) from the points (n, r)."""
        x, y = points.astype(np.float32), targets.astype(np.float64)
        draws = np.random.RandomState(seed % 2**32)
        trees, told, times = [], np.zeros(len(x)), np.zeros(len(x))
        with _TURN, config_context(skip_parameter_validation=True, assume_finite=True):
            for _ in range(TREES):
                own = int(draws.randint(np.iinfo(np.int32).max))
                drawn = np.random.RandomState(own).randint(len(x), size=len(x))
                weights = np.bincount(drawn, minlength=len(x))
                tree = ExtraTreeRegressor(
                    min_samples_leaf=LEAF, max_features=FEATURES, random_state=own
                )
                tree.fit(x, y[:, None], sample_weight=weights, check_input=False)
                left_out = weights == 0
                told[left_out] += tree.tree_.predict(x[left_out])[:, 0]
                times += left_out
                trees.append(tree.tree_)
        return cls(trees, float(r2_score(y, told / np.maximum(times, 1))))

    def predict(self, points: Points) -> Points:
        """(n,) the mean prediction of the trees at points (n, r)."""
        x = points.astype(np.float32)
        mean: Points = np.sum([tree.predict(x)[:, 0] for tree in self.trees], axis=0) / TREES
        return mean
