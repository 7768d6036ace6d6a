"""collapse-lit: train on coarse labels, watch the features collapse, recover the fine classes.

The names below are imported on first use, so the measures alone import neither Lightning nor W&B.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
    from collapse_lit.discover import discover_network
    from collapse_lit.measure import (
        LabelledFeatures,
        NeuralCollapse,
        SubclassClustering,
        neural_collapse,
        recover,
        score_recovery,
    )

__version__ = "0.1.0"

__all__ = [
    "CollapseMonitor",
    "LabelledFeatures",
    "NeuralCollapse",
    "RecoveryMonitor",
    "SubclassClustering",
    "discover_network",
    "neural_collapse",
    "recover",
    "score_recovery",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "callbacks" if name.endswith("Monitor") else "measure"
    room = "discover" if name == "discover_network" else room
    return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
