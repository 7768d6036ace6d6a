"""Recovery: find fine classes inside coarse classes without fine labels, and score the result."""

from collapse_lit.measure.recovery.all_classes import recover
from collapse_lit.measure.recovery.clusterers import register_clusterer
from collapse_lit.measure.recovery.clusters import ClassClusters, Recovery
from collapse_lit.measure.recovery.kinds import register_coordinates, register_layout
from collapse_lit.measure.recovery.matching import Matching, match_clusters, random_clusters
from collapse_lit.measure.recovery.probe import Probe, cluster_and_linear_probe, fit_probe
from collapse_lit.measure.recovery.scoring import LabelledFeatures, score_recovery
from collapse_lit.measure.recovery.spaces import Space
from collapse_lit.measure.recovery.within import Node, recover_within, subclass_tree

__all__ = [
    "ClassClusters",
    "LabelledFeatures",
    "Matching",
    "Node",
    "Probe",
    "Recovery",
    "Space",
    "cluster_and_linear_probe",
    "fit_probe",
    "match_clusters",
    "random_clusters",
    "recover",
    "recover_within",
    "register_clusterer",
    "register_coordinates",
    "register_layout",
    "score_recovery",
    "subclass_tree",
]
