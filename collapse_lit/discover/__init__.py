from collapse_lit.discover.agreement import Agreement, agree
from collapse_lit.discover.discovery import Discovery, SubClasses, discover
from collapse_lit.discover.samples import Samples, make_samples

__all__ = [
    "Agreement",
    "Discovery",
    "Samples",
    "SubClasses",
    "agree",
    "discover",
    "make_samples",
]
