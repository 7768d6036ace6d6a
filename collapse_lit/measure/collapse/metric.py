"""Neural collapse as a torchmetrics metric, which reads features in batches and drops them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from collapse_lit.measure.collapse.evidence import Evidence
from collapse_lit.measure.collapse.levels import ungrouped
from collapse_lit.measure.collapse.measures import measures
from collapse_lit.measure.collapse.statistics import (
    ClassMeans,
    WithinClass,
    class_means,
    within_class,
)


class NeuralCollapse(Metric):
    """The measures of :func:`collapse_lit.measure.neural_collapse` from a stream of batches.

    The metric keeps count, mean and variance of each class and the d×d within-class scatter in
    float64. It merges them pairwise (Chan, Golub, LeVeque 1979), so batches, processes and
    checkpoints merge without cancellation. The result agrees with :func:`neural_collapse` on all
    features. A stream does not know the final means in advance, so ``nc1`` needs the d×d scatter
    here. ``nc3``, ``nc4`` and ``directional_cdnv`` need a second pass, so only that function
    measures them.

    Call ``update`` for each batch and ``compute`` at the end of the epoch. ``forward`` also
    measures each batch alone, which fails if a batch lacks a class.

    The inputs of ``update`` are:

    - ``features`` (Tensor): floating point of shape (n, d), the input of the last linear layer.
    - ``labels`` (Tensor): integers of shape (n,), the class of each sample, in 0..C-1.

    ``compute`` returns a dictionary of float64 scalars with the keys of :func:`neural_collapse`,
    from ``nc1`` to ``rankme``. :attr:`counts`, :attr:`means`, :attr:`variances` and :attr:`scatter`
    show the statistics so far.

    Args:
        num_classes: C, at least 2.
        num_features: d.
        kwargs: arguments of ``torchmetrics.Metric``, such as ``process_group``.

    Example:
        >>> metric = NeuralCollapse(num_classes=2, num_features=2)
        >>> features = torch.tensor([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]])
        >>> metric.update(features[:2], torch.tensor([0, 0]))
        >>> metric.update(features[2:], torch.tensor([1, 1]))
        >>> float(metric.compute()["nc1_trace"])  # tr Sw = 1, tr Sb = 4
        0.25
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False
    moments: Tensor

    def __init__(self, num_classes: int, num_features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 2:
            raise ValueError(f"neural collapse needs at least two classes, not {num_classes}")
        self.num_classes = num_classes
        self.num_features = num_features
        empty = torch.zeros(num_classes + num_features, num_features + 2, dtype=torch.float64)
        # One state, because torchmetrics reduces each state separately, and merging means needs
        # counts.
        self.add_state("moments", empty, dist_reduce_fx=merge_moments, persistent=True)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch: features (n, d) floating point, labels (n,) integers in 0..C-1.

        Raises:
            ValueError: NaN or Inf (the message names the class), labels out of range, or wrong
                shapes.
        """
        if features.shape[-1] != self.num_features:
            raise ValueError(
                f"features must have width {self.num_features}, not {features.shape[-1]}"
            )
        if len(features) == 0:
            return
        classes = class_means(features, labels, self.num_classes, None)
        within = within_class(features, labels, classes, None, scatter=True)
        batch = _pack(classes, within).to(self.moments.device)
        self.moments = merge_moments(torch.stack([self.moments, batch]))

    def compute(self) -> dict[str, Tensor]:
        """The measures by key, float64 scalars.

        Raises:
            ValueError: a class has no samples; the message names it.
        """
        classes, within = _unpack(self.moments.cpu())
        classes.require_samples()
        level = ungrouped(classes)
        V = level.between.whitening  # (r, d)
        along = float((V @ within.scatter @ V.T).trace())
        values = measures(Evidence(level, within, along))
        zero = self.moments.new_zeros(())
        return {key: zero + value for key, value in values.items()}

    @property
    def counts(self) -> Tensor:
        """(C,) int64, number of samples of each class so far in this process."""
        return _unpack(self.moments)[0].counts

    @property
    def means(self) -> Tensor:
        """(C, d) float64, mean of each class so far; zero without samples."""
        return _unpack(self.moments)[0].means

    @property
    def variances(self) -> Tensor:
        """(C,) float64, mean of ‖h − mu‖² over each class so far; nan without samples."""
        return _unpack(self.moments)[1].variances

    @property
    def scatter(self) -> Tensor:
        """(d, d) float64, within-class scatter Sw of the samples so far."""
        return _unpack(self.moments)[1].scatter

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw one or several results of ``compute``, one line per measure.

        Args:
            val: A result, or a list of results in order of time; by default the current result of
                ``compute``.
            ax: Matplotlib's axes to draw on; new ones by default.

        Returns:
            Figure and axes.
        """
        return self._plot(val, ax)

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        """Move with a module to its device but keep float64, because bfloat16 sums are useless."""
        return super()._apply(lambda t: t.to(fn(t.new_empty(0)).device), exclude_state)


def merge_moments(stacked: Tensor) -> Tensor:
    """Merge (R, C + d, d + 2) moments of disjoint samples into one (C + d, d + 2).

    Each of the rows 0..C-1 holds a class: count, ‖e‖² and mean. The other d rows hold two zeros and
    Σ eeᵀ.
    """
    merged = stacked[0]
    num_classes = stacked.shape[1] - stacked.shape[2] + 2
    for other in stacked[1:]:
        n, m = merged[:num_classes, 0], other[:num_classes, 0]  # (C,)
        share = m / (n + m).clamp(min=1)
        apart = other[:num_classes, 2:] - merged[:num_classes, 2:]  # (C, d)
        weight = n * share  # (C,) n m / (n + m)
        result = merged + other
        result[:num_classes, 1] += weight * apart.square().sum(dim=1)
        result[:num_classes, 2:] = merged[:num_classes, 2:] + share[:, None] * apart
        result[num_classes:, 2:] += apart.T @ (weight[:, None] * apart)
        merged = result
    return merged


def _pack(classes: ClassMeans, within: WithinClass) -> Tensor:
    counts = classes.counts.double()
    squares = (within.variances * counts).where(counts > 0, 0.0)
    scatter = within.scatter.cpu() * counts.sum()
    rows = torch.cat([counts[:, None], squares[:, None], classes.means], dim=1)
    return torch.cat([rows, nn.functional.pad(scatter, (2, 0))])


def _unpack(moments: Tensor) -> tuple[ClassMeans, WithinClass]:
    num_classes = moments.shape[0] - moments.shape[1] + 2
    counts, squares = moments[:num_classes, 0], moments[:num_classes, 1]
    scatter = moments[num_classes:, 2:] / counts.sum()
    within = WithinClass(squares / counts, sums={}, scatter=scatter)
    return ClassMeans(counts.long(), moments[:num_classes, 2:]), within
