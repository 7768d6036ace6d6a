"""Lightning callbacks that measure features and keep the results."""

from collapse_lit.callbacks.collapse import CollapseMonitor
from collapse_lit.callbacks.recovery import RecoveryMonitor

__all__ = ["CollapseMonitor", "RecoveryMonitor"]
