"""The samples of the scatter plots."""

import numpy as np
import torch

from collapse_lit.features import Features
from collapse_lit.measure.distributed import Group, gather_objects, sum_over_ranks
from collapse_lit.measure.recovery.clusters import Recovery

# Samples in the scatter plot over all coarse classes: enough to see, cheap to keep.
POINTS_IN_PICTURE = 2000


def scatter_points(train: Features, found: Recovery, group: Group) -> dict[str, np.ndarray]:
    """A subset of the training set, each sample in the plane of its coarse class's chosen space.

    Returns:
        ``xy`` (n, 2), ``coarse``, ``cluster``, ``fine`` (-1 without fine labels), ``index``. The
        samples are the same on every rank and at every epoch.
    """
    total = sum_over_ranks(train.index.new_tensor([len(train.index)]), group)
    stride = max(1, -(-int(total) // POINTS_IN_PICTURE))
    # Samples are often sorted by class; a multiplicative hash picks evenly from all classes.
    kept = (train.index * 2654435761 % 2**32) % stride == 0
    fine = torch.full_like(train.coarse, -1) if train.fine is None else train.fine
    mine = {
        "xy": found.xy[kept].float().cpu().numpy(),
        "coarse": train.coarse[kept].cpu().numpy(),
        "cluster": found.ids[kept].cpu().numpy(),
        "fine": fine[kept].cpu().numpy(),
        "index": train.index[kept].cpu().numpy(),
    }
    parts = gather_objects(mine, group)
    joined = {key: np.concatenate([part[key] for part in parts]) for key in mine}
    if group is None:
        return joined
    order = np.argsort(joined["index"])
    return {key: column[order] for key, column in joined.items()}
