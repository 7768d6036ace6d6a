"""What a discovery says in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from collapse_lit.pages.page import number

MOST_WARNINGS = 20
VERDICTS = {
    "distinct": "distinct",
    "gradual": "gradual",
    "doubtful": "doubtful",
    "one": "no sub-structure",
}


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """A table of the classes, and what is to be said of them."""
    table = Table("class", "samples", "clusters", "separation", "stability", "")
    for column in table.columns[1:5]:
        column.justify = "right"
    for entry in summary["classes"]:
        sizes = " + ".join(str(cluster["samples"]) for cluster in entry["clusters"])
        table.add_row(
            escape(entry["class"]),
            str(entry["samples"]),
            sizes,
            number(entry["separation"]),  # None where it is not defined
            f"{entry['stability']:.2f}",
            VERDICTS[entry["verdict"]],
        )
    console.print(table)
    for warning in summary["warnings"][:MOST_WARNINGS]:
        console.print(f"- {escape(warning)}")
    if (more := len(summary["warnings"]) - MOST_WARNINGS) > 0:
        console.print(f"- and {more} more in clusters.json")
    if scores := summary.get("agreement"):
        ceiling = "" if scores["ceiling"] is None else f", ceiling {scores['ceiling']:.3f}"
        console.print(
            f"Against the fine labels of {scores['known']} of {scores['total']} samples: accuracy "
            f"{scores['accuracy']:.3f} (floor {scores['floor']:.3f}{ceiling}), NMI "
            f"{scores['nmi']:.3f}, ARI {scores['ari']:.3f}"
        )
