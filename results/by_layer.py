"""Where in a network fine structure is, and where it goes first: one line a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from kept import Row, Run

from collapse_lit.metrics import CEILING, FOUND, HEADLINE, NC1, NC1_FINE, RAW
from collapse_lit.report.depth import layers_of

COLUMNS = {  # of a layer, and of the features
    "recovered, train": ("recovery_layers/PATH/acc", FOUND),
    "recovered, test": ("recovery_layers/PATH/clp_test", HEADLINE),
    "ceiling": ("recovery_layers/PATH/probe_test", CEILING),
    "NC1, coarse": ("collapse_layers/PATH/nc1", NC1),
    "NC1, fine": ("recovery_layers/PATH/nc1_fine", NC1_FINE),
    "explained": ("recovery_layers/PATH/explained", "collapse_fine/explained"),
}
NETWORKS = {  # by seed: checkpoints of its training, and of that into collapse
    0: ("by_layer/seed0", "by_layer/far0"),
    1: ("by_layer/seed1", "by_layer/far1"),
}


def by_layer(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The values of the section *By layer*: a table, and what its sentences quote."""
    stages = {
        seed: [row for name in names for row in runs[name].history]
        for seed, names in NETWORKS.items()
    }
    ends = [[runs[name].last for name in names] for names in NETWORKS.values()]
    return {
        "table": layers_table(stages),
        "epochs": [[row["epoch"] for row in runs[name].history] for name in NETWORKS[0]],
        "went": lambda path, column: " and ".join(cell(rows, path, column) for rows in ends),
        "raw": " and ".join(arrows(rows, RAW) for rows in ends),
    }


def layers_table(stages: Mapping[int, Sequence[Row]]) -> str:
    """One line a seed and layer, from the input to the features: each measure by stage."""
    lines = [
        f"| seed | layer | {' | '.join(COLUMNS)} |",
        "|---:|---|" + "---|" * len(COLUMNS),
    ]
    for seed, rows in stages.items():
        for path in (*layers_of(rows[0]), ""):
            cells = " | ".join(cell(rows, path, column) for column in COLUMNS)
            lines.append(f"| {seed} | {path.removeprefix('backbone.') or 'features'} | {cells} |")
    return "\n".join(lines)


def cell(rows: Sequence[Row], path: str, column: str) -> str:
    """A measure of one layer, or of the features for an empty path, at each of some epochs."""
    of_layer, of_features = COLUMNS[column]
    return arrows(rows, of_layer.replace("PATH", path) if path else of_features)


def arrows(rows: Sequence[Row], key: str) -> str:
    """A value at each of some epochs, with about as many digits each."""
    return " → ".join(f"{row[key]:.{2 if row[key] >= 10 else 3}f}" for row in rows)
