from collapse_lit.discover.agreement import Agreement, agree
from collapse_lit.discover.anyones import discover_network
from collapse_lit.discover.discovery import Discovery, SubClasses, discover
from collapse_lit.discover.failures import ClusterFailures, Failures, find_failures
from collapse_lit.discover.samples import Predictions, Samples, make_samples

__all__ = [
    "Agreement",
    "ClusterFailures",
    "Discovery",
    "Failures",
    "Predictions",
    "Samples",
    "SubClasses",
    "agree",
    "discover",
    "discover_network",
    "find_failures",
    "make_samples",
]
