from collapse_lit.measure.collapse.functional import (
    HierarchicalCollapse,
    class_distances,
    hierarchical_collapse,
    neural_collapse,
)
from collapse_lit.measure.recovery.all_classes import Recovery, recover
from collapse_lit.measure.recovery.matching import Matching, match_clusters, random_clusters
from collapse_lit.measure.recovery.probe import Probe, cluster_and_linear_probe, fit_probe
from collapse_lit.measure.recovery.scoring import LabelledFeatures, score_recovery

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
