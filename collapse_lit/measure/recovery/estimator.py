"""Recovery with scikit-learn's interface: fit, labels_, predict."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin

from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.probe import fit_probe


class SubclassClustering(ClusterMixin, BaseEstimator):
    """Clusters inside each known class, found by :func:`recover`.

    Args:
        k: Clusters in each class: one number, a list with one number per class, or "auto". None in
            a list estimates the number of that class.
        seed: Seed of the clusterings.
        space: A space and clusterer for all classes, such as "white32/gmm"; "auto" or None chooses
            without labels.

    Attributes:
        labels_ (numpy.ndarray): (N,) cluster of each sample, 0..K-1. Each cluster lies in one
            class.
        classes_ (numpy.ndarray): (C,) the classes, in the order of ``y``'s sorted values.
        cluster_classes_ (numpy.ndarray): (K,) the class of each cluster.
        spaces_ (tuple): The space chosen in each class.
        stability_ (float): Agreement of the clusters found in two halves of the samples.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> hidden = np.arange(400) % 4  # two sub-classes in each of the classes "a" and "b"
        >>> X = np.eye(8)[hidden] + 0.1 * rng.normal(size=(400, 8))
        >>> y = np.array(["a", "b", "a", "b"])[hidden]
        >>> found = SubclassClustering(k=2).fit(X, y)
        >>> found.cluster_classes_.tolist()
        ['a', 'a', 'b', 'b']
        >>> len(np.unique(found.labels_ * 4 + hidden))  # each cluster is one of the sub-classes
        4
    """

    def __init__(
        self,
        k: int | list[int | None] | Literal["auto"] = "auto",
        seed: int = 0,
        space: str | None = "auto",
    ) -> None:
        self.k = k
        self.seed = seed
        self.space = space

    def fit(self, X: Any, y: Any) -> "SubclassClustering":
        """Find clusters inside the classes.

        Args:
            X: (N, d) features, such as the input of a classifier's last linear layer.
            y: (N,) known class of each sample, as numbers or names.

        Raises:
            ValueError: As :func:`recover`.
        """
        features = _features(X)
        self.classes_, coarse = np.unique(np.asarray(y), return_inverse=True)
        found = recover(
            features, torch.from_numpy(coarse), self.k, seed=self.seed, space=self.space
        )
        self.labels_: NDArray[np.int64] = found.ids.numpy()
        self.cluster_classes_ = self.classes_[found.cluster_to_coarse.numpy()]
        self.spaces_, self.stability_ = tuple(found.space), found.stability
        self._probe = fit_probe(features, found.ids, len(found.cluster_to_coarse))
        return self

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> NDArray[np.int64]:
        """Find clusters inside the classes ``y``, and return ``labels_``."""
        return self.fit(X, y).labels_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """(n,) cluster of each new sample, by a linear probe on the clusters."""
        return self._probe.predict(_features(X)).numpy()


def _features(X: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32))
