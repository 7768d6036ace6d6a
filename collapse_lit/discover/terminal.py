"""Terminal output of a discovery."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from collapse_lit.pages.page import number

MOST_WARNINGS = 20
MOST_FAILURES = 8
VERDICTS = {
    "distinct": "distinct",
    "gradual": "gradual",
    "doubtful": "doubtful",
    "one": "no sub-structure",
}


def make_console(error: bool = False) -> Console:
    """A console that prints class names verbatim, including emoji codes."""
    return Console(highlight=False, soft_wrap=True, emoji=False, stderr=error)


def shown(text: object) -> str:
    """A name or path for a terminal, without markup and control characters."""
    kept = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return escape("".join(kept))


def print_discovery(summary: Mapping[str, Any], console: Console) -> None:
    """Print a table of the classes and the remarks about them."""
    table = Table(
        Column("class", overflow="fold"), "samples", "clusters", "separation", "stability", ""
    )
    for column in table.columns[1:5]:
        column.justify = "right"
    for entry in summary["classes"]:
        sizes = " + ".join(str(cluster["samples"]) for cluster in entry["clusters"])
        table.add_row(
            shown(entry["class"]),
            str(entry["samples"]),
            sizes,
            number(entry["separation"]),  # None if undefined
            f"{entry['stability']:.2f}",
            VERDICTS[entry["verdict"]],
        )
    console.print(table)
    for warning in summary["warnings"][:MOST_WARNINGS]:
        console.print(f"- {shown(warning)}")
    if (more := len(summary["warnings"]) - MOST_WARNINGS) > 0:
        console.print(f"- and {more} more in clusters.json")
    if failures := summary.get("failures"):
        print_failures(failures, console)
    if scores := summary.get("agreement"):
        ceiling = "" if scores["ceiling"] is None else f", ceiling {scores['ceiling']:.3f}"
        console.print(
            f"Agreement with the fine labels of {scores['known']} of {scores['total']} samples: "
            "accuracy "
            f"{scores['accuracy']:.3f} (floor {scores['floor']:.3f}{ceiling}), NMI "
            f"{scores['nmi']:.3f}, ARI {scores['ari']:.3f}"
        )


def print_failures(failures: Mapping[str, Any], console: Console) -> None:
    """Print the clusters with the lowest accuracy of the classifier."""
    clusters = failures["clusters"]
    table = Table("cluster", "class", "samples", "accuracy", "95 %", "loss", "confused with")
    for column in (table.columns[0], *table.columns[2:6]):
        column.justify = "right"
    for entry in clusters[:MOST_FAILURES]:
        low, high = entry["interval"]
        table.add_row(
            str(entry["cluster"]),
            shown(entry["class"]),
            str(entry["samples"]),
            f"{100 * entry['accuracy']:.1f} %",
            f"{100 * low:.0f}–{100 * high:.0f}",
            number(entry["loss"]),
            shown(", ".join(f"{c['class']} {c['samples']}" for c in entry["confusions"])),
            style="bold" if entry["worse"] else None,
        )
    console.print(
        f"The classifier is right on {100 * failures['accuracy']:.1f} % of {failures['samples']} "
        f"samples; worst of {len(clusters)} clusters:"
    )
    console.print(table)
