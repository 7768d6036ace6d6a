from collapse_lit.measure.collapse import (
    HierarchicalCollapse,
    class_distances,
    hierarchical_collapse,
    neural_collapse,
)
from collapse_lit.measure.probe import Probe, cluster_and_linear_probe, fit_probe
from collapse_lit.measure.recovery import Recovery, recover
from collapse_lit.measure.recovery_scores import LabelledFeatures, score_recovery
from collapse_lit.measure.scores import Matching, match_clusters, random_clusters

__all__ = [
    "HierarchicalCollapse",
    "LabelledFeatures",
    "Matching",
    "Probe",
    "Recovery",
    "class_distances",
    "cluster_and_linear_probe",
    "fit_probe",
    "hierarchical_collapse",
    "match_clusters",
    "neural_collapse",
    "random_clusters",
    "recover",
    "score_recovery",
]
