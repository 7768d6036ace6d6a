"""Use the clusters of an earlier discovery as classes, to divide some of them further."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from collapse_lit.discover.clusters_table import read_clusters
from collapse_lit.discover.csv_files import read_csv
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.naming import features_of
from collapse_lit.discover.samples import Samples, words_of
from collapse_lit.discover.tables import pictures_by_path
from collapse_lit.errors import UserError


def within_samples(path: Path, clusters: Sequence[int]) -> Samples:
    """The samples of a discovery, with its clusters as classes.

    Args:
        path: the folder of the discovery.
        clusters: numbers of the clusters to divide.

    Raises:
        UserError: There is no discovery, its features are missing or changed, or a cluster does not
            exist.
    """
    folder = DiscoveryFolder(path)
    summary = folder.read_summary()
    names = class_of_cluster(summary)
    for cluster in clusters:
        if cluster not in names:
            raise UserError(
                f"--cluster {cluster}: {path} has no such cluster; its clusters are 0 to "
                f"{max(names)}"
            )
    ids, columns = read_clusters(folder, summary)
    present = ids.unique().tolist()
    place = torch.zeros(max(present) + 1, dtype=torch.int64)
    place[present] = torch.arange(len(present))
    paths = columns.get("path")
    return Samples(
        features=features_of(folder, summary),
        coarse=place[ids],
        coarse_names=tuple(names[cluster] for cluster in present),
        paths=None if paths is None else tuple(paths),
        picture=None if paths is None else pictures_by_path(paths, path),
        origin={"within": str(path), "cluster": list(clusters)},
        extracted=True,
    )


def clusters_within(path: Path, clusters: Sequence[int], k: Any) -> dict[str, Any]:
    """``k`` for the classes of these clusters, and 1 for all other classes.

    Raises:
        UserError: ``k`` is a mapping, or there is no discovery.
    """
    if isinstance(k, Mapping):
        raise UserError("--k: with --within, give auto or one number for all clusters to divide")
    names = class_of_cluster(DiscoveryFolder(path).read_summary())
    return {name: k if cluster in clusters else 1 for cluster, name in names.items()}


def class_of_cluster(summary: Mapping[str, Any]) -> dict[int, str]:
    """The class name of each cluster: its class, with the cluster's number if there are several."""
    return {
        cluster["cluster"]: (
            entry["class"] if entry["k"] == 1 else f"{entry['class']} {cluster['cluster']}"
        )
        for entry in summary["classes"]
        for cluster in entry["clusters"]
        if cluster["samples"]
    }


def names_kept(path: Path) -> dict[str, str]:
    """The names filled in for a discovery, by the class name of each cluster."""
    folder = DiscoveryFolder(path)
    if not folder.names.exists():
        return {}
    columns = read_csv(folder.names, ("cluster", "name"))
    called = class_of_cluster(folder.read_summary())
    numbers = words_of(columns["cluster"], str(folder.names))
    rows = zip(numbers, columns["name"], strict=True)
    return {
        called[int(n)]: name.strip()
        for n, name in rows
        if n.isdecimal() and int(n) in called and name.strip()
    }
