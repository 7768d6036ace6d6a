"""L-BFGS on a loss that is summed over ranks: one rank takes the steps, and all evaluate."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from collapse_lit.measure.distributed import Group, of_first_rank, rank_and_size

GRADIENT_TOLERANCE = 1e-4  # largest entry, as in scikit-learn; float32 sums allow little more
MORE, DONE, FAILED = 1.0, 0.0, -1.0  # what the first rank says with each point


def minimise(
    loss_and_gradient: Callable[[Tensor], Tensor], start: Tensor, group: Group
) -> tuple[Tensor, float]:
    """Where a loss is smallest (n,), and this loss, on every rank.

    Args:
        loss_and_gradient: function of a point (n,) float64 on the device. It returns the loss and
            its n derivatives (1 + n,). All ranks call it at the same points.
        start: (n,) float64, on the device.
        group: process group; its first rank chooses the points.

    Raises:
        Exception: The first rank failed. It raises its own error, the other ranks a ValueError.
    """

    def evaluate(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        tell(MORE, flat)
        found = loss_and_gradient(torch.from_numpy(flat).to(start.device)).cpu().numpy()  # one wait
        return float(found[0]), found[1:]

    def tell(state: float, flat: NDArray[np.float64]) -> None:
        if group is not None:
            of_first_rank(torch.from_numpy(np.append(flat, state)).to(start.device), group)

    if rank_and_size(group)[0] == 0:
        try:
            solution = minimize(
                evaluate,
                start.cpu().numpy(),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": 1000, "gtol": GRADIENT_TOLERANCE, "ftol": 0.0},
            )
        except Exception:
            tell(FAILED, start.cpu().numpy())
            raise
        tell(DONE, solution.x)
        found = torch.from_numpy(np.append(solution.x, solution.fun)).to(start.device)
    else:
        found = of_first_rank(start.new_empty(len(start) + 1), group)
        while found[-1] == MORE:
            loss_and_gradient(found[:-1])
            of_first_rank(found, group)
        if found[-1] == FAILED:
            raise ValueError("the first rank could not fit the probe")
    of_first_rank(found, group)
    return found[:-1], float(found[-1])
