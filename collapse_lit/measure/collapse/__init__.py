"""Neural collapse: NC1 to NC4 and related measures."""

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
