"""Muon: SGD with orthogonalised steps on convolution filters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FILTER_MOMENTUM = 0.6
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan's coefficients: the steepest start at zero
NEWTON_SCHULZ_STEPS = 3


class Muon(torch.optim.SGD):
    """SGD with Nesterov momentum, and orthogonalised steps on convolution filters.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). As in
    the CIFAR-10 speed runs, filters keep a fixed norm instead of weight decay, so each step turns
    them by about ``filter_lr``. Use it for networks that normalise after every convolution, where
    the norm of filters has no effect. ``torch.optim.Muon`` accepts matrices only.

    Args:
        network: The network. Trainable parameters with four dimensions are filters; SGD trains the
            rest.
        lr: Learning rate of the other parameters.
        filter_lr: Learning rate of the filters, relative to their norm.
        momentum: Momentum of the other parameters; filters use 0.6.
        weight_decay: Weight decay of the other parameters.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float,
        filter_lr: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        trained = [p for p in network.parameters() if p.requires_grad]
        plain = {"lr": filter_lr, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim != 4]},
            {"params": [p for p in trained if p.ndim == 4], **plain},
        ]
        super().__init__(groups, lr, momentum, weight_decay=weight_decay, nesterov=momentum > 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, after scaling the filters to a norm of √(number of filters)."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for filters in self.param_groups[1]["params"]:
            if filters.grad is not None:
                state = self.state[filters]
                if "history" not in state:
                    state["history"] = torch.zeros_like(filters)
                history = state["history"]
                history.mul_(FILTER_MOMENTUM).add_(filters.grad)
                towards = filters.grad.add(history, alpha=FILTER_MOMENTUM)
                filters.grad = orthogonalise(towards.flatten(1)).view_as(filters)
                filters.mul_(len(filters) ** 0.5 / filters.norm())
        super().step()
        return loss


def orthogonalise(matrix: Tensor) -> Tensor:
    """Approximate U Vᵀ of a matrix (m, n) = U S Vᵀ by a Newton-Schulz iteration.

    The singular values of the result lie between about 0.5 and 1.5, except those that were below 1
    % of the norm. Muon needs no higher accuracy.
    """
    a, b, c = NEWTON_SCHULZ
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
