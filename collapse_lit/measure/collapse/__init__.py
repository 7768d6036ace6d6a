"""Neural collapse: how far features have come together by class, NC1 to NC4 and kin."""

from collapse_lit.measure.collapse.functional import (
    HierarchicalCollapse,
    class_distances,
    hierarchical_collapse,
    neural_collapse,
)

__all__ = [
    "HierarchicalCollapse",
    "class_distances",
    "hierarchical_collapse",
    "neural_collapse",
]
