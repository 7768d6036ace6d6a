"""The linear probe: a multinomial logistic regression for cluster ids, ceiling and floor.

Near collapse, almost all variance lies between the coarse classes. Fine classes differ in
directions whose variance is orders of magnitude smaller. A penalty on the weights of raw or
standardised features would suppress the weights that fine classes need, more with every epoch. The
features are therefore whitened by their total covariance. The penalty then acts on the variance of
the logits, and the probe is invariant to invertible linear maps of the features. The problem is
also well conditioned, and converges in a few dozen iterations.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from collapse_lit.measure.distributed import (
    Group,
    concat_over_ranks,
    max_over_ranks,
    of_first_rank,
    sum_over_ranks,
)
from collapse_lit.measure.full_float32 import full_float32
from collapse_lit.measure.labels import as_labels
from collapse_lit.measure.linalg import gram_axes, principal_axes, scatter_matrix
from collapse_lit.measure.recovery.minimise import minimise
from collapse_lit.measure.recovery.residuals import counts_and_means

PENALTY = 1e-3  # mean cross-entropy + PENALTY / 2 * variance of the logits
ROWS_AT_A_TIME = 4096  # float32 products of this many rows are summed in float64
NOISE_FLOOR = 1e-13  # directions below this share of the largest variance are dropped


@dataclass(frozen=True)
class Probe:
    """A fitted linear classifier, ``argmax((features - mean) @ weight.T + bias)``.

    Attributes:
        mean: (d,) float64 mean of the training features.
        weight: (K, d) float64.
        bias: (K,) float64, of centred features.
        loss: penalised mean cross-entropy at the solution, in nats.
    """

    mean: Tensor
    weight: Tensor
    bias: Tensor
    loss: float

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """(N, K) float64 logits of features (N, d)."""
        # centre first: a large common offset would cost the digits of small directions
        return (x.double() - self.mean) @ self.weight.T + self.bias

    def predict(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """(N,) int64 class ids of features (N, d), among the classes ``allowed``, (N, K) bool."""
        logits = self.logits(x)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        return logits.argmax(dim=1)


@dataclass(frozen=True)
class Whitened:
    """Whitened training features, the input of the probes.

    Attributes:
        mean: (d,) float64.
        axes: (d, r) float64, the map from centred features to the points.
        points: (n_local, r) float32, uncorrelated and of unit variance over all ranks.
    """

    mean: Tensor
    axes: Tensor
    points: Tensor


@torch.no_grad()
@full_float32()
def fit_probe(features: Tensor, targets: Tensor, num_classes: int, *, group: Group = None) -> Probe:
    """Multinomial logistic regression to convergence, on the features of all ranks.

    L-BFGS (SciPy) runs on the first rank, with loss and gradient summed over ranks. So ranks on
    different processors cannot take different numbers of steps.

    Args:
        features: (n_local, d) floating point, any scale and offset.
        targets: (n_local,) int64 in 0..num_classes-1; classes may be absent.
        num_classes: number of classes K.
        group: process group whose ranks hold the samples; ``None`` for a single process.

    Returns:
        The probe, the same on every rank.

    Raises:
        ValueError: shapes disagree, a target is out of range, or features are not finite.
    """
    return fit_whitened(whiten(features, targets, num_classes, group), targets, num_classes, group)


@full_float32()
def fit_whitened(white: Whitened, targets: Tensor, num_classes: int, group: Group = None) -> Probe:
    """:func:`fit_probe` on whitened features, which several probes can share.

    Raises:
        ValueError: targets do not fit.
    """
    z, targets = white.points, as_labels(targets, "targets")
    _check(z, targets, num_classes, group)
    count = float(sum_over_ranks(torch.tensor(float(len(z)), device=z.device), group))
    rank = z.shape[1]
    own = torch.arange(len(z), device=z.device)

    def loss_and_gradient(flat: Tensor) -> Tensor:
        theta = flat.reshape(num_classes, rank + 1)
        logits = torch.addmm(theta[:, rank].float(), z, theta[:, :rank].T.float())
        nll = cross_entropy(logits, targets, reduction="sum")
        error = logits.softmax(dim=1)
        error[own, targets] -= 1
        gradient = torch.cat([error.T @ z, error.sum(dim=0)[:, None]], dim=1)
        total = torch.cat([gradient.double().flatten(), nll.double()[None]])
        total = sum_over_ranks(total, group) / count
        gradient = total[:-1].reshape_as(theta).clone()
        gradient[:, :rank] += PENALTY * theta[:, :rank]
        loss = total[-1] + PENALTY / 2 * theta[:, :rank].square().sum()
        return torch.cat([loss[None], gradient.flatten()])

    start = torch.zeros(num_classes * (rank + 1), dtype=torch.float64, device=z.device)
    solution, loss = minimise(loss_and_gradient, start, group)
    theta = solution.reshape(num_classes, rank + 1)
    weight = theta[:, :rank] @ white.axes.T  # (K, d)
    return Probe(white.mean, weight, theta[:, rank].clone(), loss)


def cluster_and_linear_probe(
    features: Tensor, ids: Tensor, test_features: Tensor, *, group: Group = None
) -> Tensor:
    """Train the probe on cluster ids and predict the cluster of each test sample.

    Args:
        features: (n_local, d) training features.
        ids: (n_local,) int64 cluster ids, as from ``recover``.
        test_features: (N_test, d); each rank may pass its own part.
        group: process group whose ranks hold the training samples.

    Returns:
        (N_test,) int64 predicted cluster ids.

    Raises:
        ValueError: as ``fit_probe``.
    """
    ids = as_labels(ids, "cluster ids")
    largest = ids.max() if len(ids) else ids.new_tensor(-1)
    num_clusters = int(max_over_ranks(largest.clone(), group)) + 1
    return fit_probe(features, ids, num_clusters, group=group).predict(test_features)


@torch.no_grad()
@full_float32()
def whiten(features: Tensor, labels: Tensor, num_classes: int, group: Group = None) -> Whitened:
    """Features in uncorrelated coordinates of unit variance; the labels only improve the precision.

    The covariance is the sum of the parts within and between the labelled classes. Near collapse,
    the first part is orders of magnitude smaller and would be lost in the rounding of the second.
    Computed separately, float32 products of class-centred residuals keep all its digits.

    Args:
        features: (n_local, d) floating point.
        labels: (n_local,) int64 in 0..num_classes-1, coarse or finer.
        num_classes: number of classes.
        group: process group whose ranks hold the samples; ``None`` for a single process.

    Raises:
        ValueError: shapes disagree, a label is out of range, or features are not finite.
    """
    labels = as_labels(labels, "labels")
    _check(features, labels, num_classes, group)
    if features.dtype not in (torch.float32, torch.float64):
        features = features.float()
    counts, means = counts_and_means(features, labels, num_classes, group)  # (K,), (K, d)
    residuals = (features - means.to(features.dtype)[labels]).float()  # (n_local, d)
    shares = (counts / counts.sum()).double()
    mean = shares @ means
    between = (means - mean) * shares.sqrt()[:, None]  # (K, d)
    variance, axes = _total_axes(residuals, between, int(counts.sum()), group)
    keep = variance > NOISE_FLOOR * variance[0]
    whitening = axes[:, keep] / variance[keep].sqrt()
    centres = (means - mean) @ whitening  # (K, r)
    points = residuals @ whitening.float() + centres.float()[labels]
    return Whitened(mean, whitening, points)


def _total_axes(
    residuals: Tensor, between: Tensor, count: int, group: Group
) -> tuple[Tensor, Tensor]:
    """Variances (r,) and axes (d, r) of the total covariance of all ranks' ``count`` samples."""
    d = residuals.shape[1]
    if count + len(between) < d:  # the d × d covariance would cost d³
        rows = concat_over_ranks(residuals, group).double() / count**0.5
        rows = torch.cat([rows, between])
        variances, axes = gram_axes(rows, len(rows))
    else:
        within = scatter_matrix(residuals.split(ROWS_AT_A_TIME), like=between)
        within = sum_over_ranks(within, group) / count
        variances, axes = principal_axes(within + between.T @ between)
    return of_first_rank(variances, group), of_first_rank(axes.contiguous(), group)


def _check(features: Tensor, targets: Tensor, num_classes: int, group: Group) -> None:
    if features.ndim != 2 or targets.shape != features.shape[:1]:
        raise ValueError(
            f"features {tuple(features.shape)} must be (N, d) and targets "
            f"{tuple(targets.shape)} (N,)"
        )
    bad_targets = ((targets < 0) | (targets >= num_classes)).sum()
    bad_rows = (~features.isfinite().all(dim=1)).sum()
    counts = torch.stack([bad_targets, bad_rows, torch.full_like(bad_rows, len(features))])
    bad_targets, bad_rows, total = sum_over_ranks(counts, group)
    if bad_targets > 0:
        raise ValueError(f"{int(bad_targets)} targets lie outside 0..{num_classes - 1}")
    if bad_rows > 0:
        raise ValueError(f"{int(bad_rows)} samples have NaN or infinite features")
    if total == 0:
        raise ValueError("no samples to fit the probe on")
