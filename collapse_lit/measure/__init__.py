"""Measures on plain tensors: neural collapse, and recovery of fine classes inside coarse ones."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from collapse_lit.measure.collapse import (
    HierarchicalCollapse,
    class_distances,
    hierarchical_collapse,
    neural_collapse,
)
from collapse_lit.measure.recovery import (
    ClassClusters,
    LabelledFeatures,
    Matching,
    Probe,
    Recovery,
    Space,
    cluster_and_linear_probe,
    fit_probe,
    match_clusters,
    random_clusters,
    recover,
    register_clusterer,
    register_coordinates,
    register_layout,
    score_recovery,
)

if TYPE_CHECKING:
    from collapse_lit.measure.collapse.metric import NeuralCollapse
    from collapse_lit.measure.recovery.estimator import SubclassClustering

__all__ = [
    "ClassClusters",
    "HierarchicalCollapse",
    "LabelledFeatures",
    "Matching",
    "NeuralCollapse",
    "Probe",
    "Recovery",
    "Space",
    "SubclassClustering",
    "class_distances",
    "cluster_and_linear_probe",
    "fit_probe",
    "hierarchical_collapse",
    "match_clusters",
    "neural_collapse",
    "random_clusters",
    "recover",
    "register_clusterer",
    "register_coordinates",
    "register_layout",
    "score_recovery",
]

# Imported on first use: torchmetrics and scikit-learn's estimators take seconds.
_LATE = {"NeuralCollapse": "collapse.metric", "SubclassClustering": "recovery.estimator"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
