"""What a discovery leaves in its folder: clusters.csv, clusters.json and names.csv to fill in."""

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from collapse_lit.discover.agreement import Agreement
from collapse_lit.discover.discovery import Discovery, SubClasses
from collapse_lit.discover.gallery import Members
from collapse_lit.discover.samples import Samples, digest
from collapse_lit.discover.tables import read_csv
from collapse_lit.errors import UserError
from collapse_lit.tracking.tables import write_csv
from collapse_lit.tracking.whole_files import write_json, write_whole

LIBRARIES = ("collapse-lit", "torch", "torchvision", "numpy", "scikit-learn", "scipy")


class DiscoveryFolder:
    """Paths of what a discovery writes, by the names that users rely on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clusters = path / "clusters.csv"
        self.summary = path / "clusters.json"
        self.report = path / "report.html"
        self.names = path / "names.csv"
        self.features = path / "features.npy"
        self.probe = path / "probe.npz"

    def claim(self) -> None:
        """Make the folder, before anything is computed in vain.

        Raises:
            UserError: It cannot be written to, or names were filled in there that would be lost.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(
                f"--out {self.path}: cannot write there ({error.strerror}); choose another folder"
            ) from error
        if self.names.exists() and any(read_csv(self.names, ("name",))["name"]):
            raise UserError(
                f"{self.names} has names filled in, which new clusters would make void; move it "
                "away, or choose another --out"
            )

    def read_summary(self) -> dict[str, Any]:
        """What ``clusters.json`` says.

        Raises:
            UserError: There is none, or it is broken.
        """
        try:
            return json.loads(self.summary.read_text())
        except FileNotFoundError as error:
            raise UserError(
                f"--out {self.path}: there is no {self.summary.name} in it; run discover without "
                "--names first"
            ) from error
        except ValueError as error:
            raise UserError(f"{self.summary}: it is no JSON ({error})") from error


def summarise(
    samples: Samples,
    found: Discovery,
    chosen: Sequence[Members],
    agreement: Agreement | None,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything about a discovery but the samples' own rows: what ``clusters.json`` says.

    Args:
        samples: what was looked into.
        found: what was found.
        chosen: some members of each cluster.
        agreement: scores on known fine labels, None where there are none.
        asked: the options that it was found with.
    """
    classes = [_class(samples, found, sub, chosen, agreement) for sub in found.classes]
    summary = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": dict(samples.origin),
        "parameters": dict(asked),
        "versions": {library: version(library) for library in LIBRARIES},
        "samples": len(samples),
        "dimensions": samples.features.shape[1],
        "features": {"digest": digest(samples.features)},
        "warnings": [
            *samples.notes,
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
    return summary


def write_tables(
    folder: DiscoveryFolder, samples: Samples, found: Discovery, summary: dict[str, Any]
) -> None:
    """Write clusters.csv, names.csv, clusters.json, and the features if they are in no file yet."""
    name = "path" if samples.paths is not None else "index"
    write_csv(
        folder.clusters,
        (name, "coarse", "cluster", "confidence", "margin"),
        zip(
            samples.paths if samples.paths is not None else range(len(samples)),
            (samples.coarse_names[c] for c in samples.coarse.tolist()),
            found.ids.tolist(),
            (f"{value:.4f}" for value in found.confidence.tolist()),
            (f"{value:.4f}" for value in found.margin.tolist()),
            strict=True,
        ),
    )
    write_csv(
        folder.names,
        ("cluster", "coarse", "size", "name"),
        (
            (cluster["cluster"], entry["class"], cluster["samples"], "")
            for entry in summary["classes"]
            for cluster in entry["clusters"]
        ),
    )
    if samples.extracted:
        buffer = io.BytesIO()
        np.save(buffer, samples.features.numpy(), allow_pickle=False)
        write_whole(folder.features, buffer.getvalue())
        file = folder.features.name
    else:
        file = str(Path(samples.origin["features"]).resolve())
    summary["features"]["file"] = file
    write_json(folder.summary, summary)


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
        "confidence": float(sub.confidence[mine].mean()) if size else None,
        "margin": float(sub.margin[mine].mean()) if size else None,
        "silhouette": silhouette,
        "medoid": samples.name_of(members.typical[0]) if size else None,
    }
    if agreement is not None:
        fine, share = agreement.matched[cluster] or (None, None)
        entry |= {"fine": fine, "fine_share": share}
    return entry
