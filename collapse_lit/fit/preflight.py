"""What can be known to be impossible before the first batch."""

from collapse_lit.callbacks.cluster_numbers import check_class_sizes
from collapse_lit.callbacks.recovery import RecoveryMonitor
from collapse_lit.data import CoarseDataModule
from collapse_lit.errors import UserError


def check_clusters(recovery: RecoveryMonitor, data: CoarseDataModule) -> None:
    """See that the training set has what its clusters need.

    Raises:
        UserError: A coarse class has fewer samples than clusters, ``k`` is a list of another
            length, or views of images are asked for and there are none.
    """
    hierarchy = data.hierarchy
    k = list(hierarchy.fine_per_coarse) if recovery.k == "given" else recovery.k
    coarse = hierarchy.coarse(data.labelled.train.labels)
    check_class_sizes(k, coarse, hierarchy.num_coarse, group=None)
    if any(recovery.views.values()) and len(data.image_shape) != 3:
        raise UserError("recovery.mirror and recovery.shift are for images; leave them out")
