"""Networks: backbones by name, and the classifier that trains them on coarse labels."""

from collapse_lit.models.backbones import make_backbone
from collapse_lit.models.classifier import CoarseClassifier

__all__ = ["CoarseClassifier", "make_backbone"]
