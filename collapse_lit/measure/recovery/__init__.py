"""Recovery: fine classes inside coarse ones, found without a fine label, and scored with them."""

from collapse_lit.measure.recovery.all_classes import Recovery, recover
from collapse_lit.measure.recovery.matching import Matching, match_clusters, random_clusters
from collapse_lit.measure.recovery.probe import Probe, cluster_and_linear_probe, fit_probe
from collapse_lit.measure.recovery.scoring import LabelledFeatures, score_recovery

__all__ = [
    "LabelledFeatures",
    "Matching",
    "Probe",
    "Recovery",
    "cluster_and_linear_probe",
    "fit_probe",
    "match_clusters",
    "random_clusters",
    "recover",
    "score_recovery",
]
