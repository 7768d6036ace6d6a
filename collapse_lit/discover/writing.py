"""Write a discovery to its folder: first make all files, then put them in place together."""

from collections.abc import Mapping
from typing import Any

from collapse_lit.discover.agreement import agree
from collapse_lit.discover.discovery import Discovery
from collapse_lit.discover.failures import find_failures
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.gallery import choose_members, hang, list_all
from collapse_lit.discover.outputs import summarise, tables
from collapse_lit.discover.page import discovery_page
from collapse_lit.discover.samples import Samples


def write_discovery(
    folder: DiscoveryFolder,
    samples: Samples,
    found: Discovery,
    asked: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write clusters.csv, clusters.json, names.csv and report.html; return the content of
    clusters.json.

    Args:
        folder: the folder to write to.
        samples: the samples.
        found: the sub-classes found.
        asked: the options used.
        names: known names of classes with a single cluster.

    Raises:
        UserError: The folder cannot be written to; the old files are still there.
    """
    chosen = choose_members(samples, found)
    failures = find_failures(samples, found)
    summary = summarise(samples, found, chosen, agree(samples, found), asked, failures)
    gallery = hang(samples, chosen, folder.path)
    listed = list_all(samples, found, folder.path)
    page = discovery_page(summary, gallery, samples, found, names or {}, listed)
    folder.replace({**tables(folder, samples, found, summary, names or {}), folder.report: page})
    return summary
