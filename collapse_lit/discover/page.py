"""``report.html`` of a discovery: one self-contained page, every name in it escaped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from collapse_lit.discover.gallery import Strips
from collapse_lit.discover.terminal import VERDICTS
from collapse_lit.tracking.run_directory import write_whole


def write_page(path: Path, summary: Mapping[str, Any], gallery: Sequence[Strips]) -> None:
    """Write the page.

    Args:
        path: where to.
        summary: what ``clusters.json`` says.
        gallery: tiles of each cluster, in the order of their numbers.
    """
    environment = Environment(
        loader=PackageLoader("collapse_lit.discover"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("discovery.html.jinja").render(
        summary=summary,
        agreement=summary.get("agreement"),
        gallery=gallery,
        pictures=any(tile.jpeg for strips in gallery for tile in strips.typical),
        verdicts=VERDICTS,
        counts={
            verdict: sum(entry["verdict"] == verdict for entry in summary["classes"])
            for verdict in VERDICTS
        },
    )
    write_whole(path, page.encode())
