"""collapse-lit: train on coarse labels, watch the features collapse, recover the fine classes."""

__version__ = "0.1.0"
