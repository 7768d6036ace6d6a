"""The output of a discovery: clusters.json and the tables."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lit.discover.agreement import Agreement
from collapse_lit.discover.clusters_table import assignment_digest, clusters_table
from collapse_lit.discover.discovery import Discovery, SubClasses
from collapse_lit.discover.failures import Failures
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.gallery import Members
from collapse_lit.discover.samples import Samples, digest
from collapse_lit.tracking.tables import csv_bytes
from collapse_lit.tracking.whole_files import json_bytes, plain_text

FEATURES = "features.npy"  # written to the folder if the features were computed
LIBRARIES = ("collapse-lit", "torch", "torchvision", "numpy", "scikit-learn", "scipy")


def summarise(
    samples: Samples,
    found: Discovery,
    chosen: Sequence[Members],
    agreement: Agreement | None,
    asked: Mapping[str, Any],
    failures: Failures | None = None,
) -> dict[str, Any]:
    """The content of ``clusters.json``: a discovery without the rows of its samples.

    Args:
        samples: the samples.
        found: the sub-classes found.
        chosen: typical, certain and uncertain members of each cluster.
        agreement: scores on known fine labels, None without fine labels.
        asked: the options used.
        failures: the classifier's results on each cluster, None if unknown.
    """
    classes = [_class(samples, found, sub, chosen, agreement) for sub in found.classes]
    summary = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": {
            key: plain_text(value) if isinstance(value, str) else value
            for key, value in samples.origin.items()
        },
        "parameters": dict(asked),
        "versions": {library: version(library) for library in LIBRARIES},
        "samples": len(samples),
        "dimensions": samples.features.shape[1],
        "features": {
            "digest": digest(samples.features),
            "file": FEATURES
            if samples.extracted
            else plain_text(Path(samples.origin["features"]).resolve()),
        },
        "assignment": assignment_digest(found.ids),
        "warnings": [
            *samples.notes,
            *_failing(samples, found, failures),
            *(
                f"{samples.coarse_names[sub.coarse]}: {said}"
                for sub in found.classes
                for said in sub.cautions
            ),
        ],
        "classes": classes,
    }
    if agreement is not None:
        scores = asdict(agreement)
        scores.pop("matched")
        summary["agreement"] = scores
    if failures is not None:
        summary["failures"] = _failures(samples, found, failures)
    return summary


def tables(
    folder: DiscoveryFolder,
    samples: Samples,
    found: Discovery,
    summary: Mapping[str, Any],
    names: Mapping[str, str],
) -> dict[Path, bytes]:
    """Contents of clusters.csv, names.csv, clusters.json, and of features that have no file yet.

    ``names`` are known names of classes with a single cluster.
    """
    contents = {
        folder.clusters: clusters_table(samples, found),
        folder.names: names_table(summary, names),
        folder.summary: json_bytes(summary),
    }
    if samples.extracted:
        buffer = io.BytesIO()
        np.save(buffer, samples.features.numpy(), allow_pickle=False)
        contents[folder.features] = buffer.getvalue()
    return contents


def names_table(summary: Mapping[str, Any], names: Mapping[str, str]) -> bytes:
    """The content of ``names.csv``, with names to fill in."""
    rows = (
        (
            *(cluster["cluster"], entry["class"], cluster["samples"]),
            names.get(entry["class"], "") if entry["k"] == 1 else "",
        )
        for entry in summary["classes"]
        for cluster in entry["clusters"]
    )
    return csv_bytes(("cluster", "coarse", "size", "name"), rows)


def _failing(samples: Samples, found: Discovery, failures: Failures | None) -> list[str]:
    """Whether the classifier has hardly learnt its labels, and a sentence for each cluster with
    notably lower accuracy, worst first.
    """
    if failures is None:
        return []
    worse = [
        f"{samples.coarse_names[int(found.cluster_to_coarse[score.cluster])]}: {score.sentence}"
        for score in failures.clusters
        if score.worse
    ]
    return [failures.hardly_learnt, *worse] if failures.hardly_learnt else worse


def _failures(samples: Samples, found: Discovery, failures: Failures) -> dict[str, Any]:
    return {
        "samples": failures.samples,
        "accuracy": failures.right / failures.samples,
        "clusters": [
            {
                "cluster": score.cluster,
                "class": samples.coarse_names[int(found.cluster_to_coarse[score.cluster])],
                "samples": score.samples,
                "accuracy": score.accuracy,
                "interval": score.interval,
                "loss": score.loss,
                "confusions": [{"class": name, "samples": n} for name, n in score.confusions],
                "accuracy_of_the_rest": score.rest,
                "difference": score.difference,
                "worse": score.worse,
            }
            for score in failures.clusters
        ],
    }


def _class(
    samples: Samples,
    found: Discovery,
    sub: SubClasses,
    chosen: Sequence[Members],
    agreement: Agreement | None,
) -> dict[str, Any]:
    first, silhouettes = found.first_cluster(sub.coarse), sub.silhouettes()
    return {
        "class": samples.coarse_names[sub.coarse],
        "samples": len(sub),
        "k": sub.k,
        "verdict": sub.verdict,
        "sentences": sub.sentences,
        "space": str(sub.space),
        "separation": None if math.isnan(sub.separation) else sub.separation,
        "stability": sub.stability,
        "silhouette": sub.silhouette,
        "clusters": [
            _cluster(samples, sub, j, first + j, silhouettes[j], chosen[first + j], agreement)
            for j in range(sub.k)
        ],
    }


def _cluster(
    samples: Samples,
    sub: SubClasses,
    j: int,
    cluster: int,
    silhouette: float | None,
    members: Members,
    agreement: Agreement | None,
) -> dict[str, Any]:
    mine = sub.ids == j
    size = int(mine.sum())
    entry = {
        "cluster": cluster,
        "samples": size,
        "share": size / len(sub),
        "valley_p": sub.valleys[j],
        "parent": sub.parents[j],
        "confidence": float(sub.confidence[mine].mean()) if size else None,
        "margin": float(sub.margin[mine].mean()) if size else None,
        "silhouette": silhouette,
        "medoid": samples.name_of(members.typical[0]) if size else None,
    }
    if agreement is not None:
        fine, share = agreement.matched[cluster] or (None, None)
        entry |= {"fine": fine, "fine_share": share}
    return entry
