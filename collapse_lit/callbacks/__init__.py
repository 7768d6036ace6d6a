"""Lightning callbacks that measure, and that keep what was measured."""

from collapse_lit.callbacks.collapse import CollapseMonitor
from collapse_lit.callbacks.recovery import RecoveryMonitor

__all__ = ["CollapseMonitor", "RecoveryMonitor"]
