"""Names of clusters: read them from the table, fit a probe, and predict names of new samples."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse_lit.discover.clusters_table import read_clusters
from collapse_lit.discover.csv_files import read_csv
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.samples import digest
from collapse_lit.discover.tables import read_features
from collapse_lit.errors import UserError
from collapse_lit.measure.recovery.probe import Probe, fit_probe
from collapse_lit.tracking.tables import write_csv
from collapse_lit.tracking.whole_files import write_whole


@dataclass(frozen=True, eq=False)
class NamedProbe:
    """A linear classifier whose classes have names.

    Attributes:
        names: names of the M classes.
        linear: the classifier on features (N, d).
    """

    names: tuple[str, ...]
    linear: Probe

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Class numbers (N,) int64 and their probabilities (N,) float64 of features (N, d)."""
        probability, number = self.linear.logits(features).softmax(dim=1).max(dim=1)
        return number, probability


@dataclass(frozen=True)
class Fitted:
    """The result of fitting the names.

    Attributes:
        probe: the named probe.
        samples: number of samples used for the fit.
        agreement: share of these samples for which the probe predicts the name of their cluster.
        unnamed: clusters without a name, which were skipped.
    """

    probe: NamedProbe
    samples: int
    agreement: float
    unnamed: list[int]


def fit_names(folder: DiscoveryFolder, names_file: Path) -> Fitted:
    """Fit and save a probe on the named clusters; clusters with the same name form one class.

    Args:
        folder: the folder of the discovery.
        names_file: its ``names.csv`` with names filled in; clusters without a name are skipped.

    Raises:
        UserError: There is no discovery, its features are missing or changed, or the names belong
            to another discovery.
    """
    summary = folder.read_summary()
    names = read_names(names_file, summary)
    features = features_of(folder, summary)
    ids = read_clusters(folder, summary)[0].tolist()
    classes = sorted(set(names.values()))
    number = {cluster: classes.index(name) for cluster, name in names.items()}
    targets = torch.tensor([number.get(cluster, -1) for cluster in ids])
    named = targets >= 0
    linear = fit_probe(features[named], targets[named], len(classes))
    probe = NamedProbe(tuple(classes), linear)
    save_probe(folder.probe, probe)
    same = probe.predict(features[named])[0] == targets[named]
    unnamed = sorted(set(ids) - set(names))
    return Fitted(probe, int(named.sum()), float(same.double().mean()), unnamed)


def read_names(path: Path, summary: Mapping[str, Any]) -> dict[int, str]:
    """The name of each cluster that has one.

    Args:
        path: CSV file with the columns ``cluster``, ``size`` and ``name``, as ``names.csv`` has.
        summary: the summary of the discovery.

    Raises:
        UserError: A cluster is unknown, occurs twice or has another size, or there are fewer than
            two names.
    """
    sizes = {
        cluster["cluster"]: cluster["samples"]
        for entry in summary["classes"]
        for cluster in entry["clusters"]
    }
    columns = read_csv(path, ("cluster", "size", "name"))
    names: dict[int, str] = {}
    seen: set[str] = set()
    rows = zip(columns["cluster"], columns["name"], columns["size"], strict=True)
    for cluster, name, size in rows:
        cluster = cluster.strip()
        if not cluster.isdecimal() or int(cluster) not in sizes:
            raise UserError(
                f"{path}: there is no cluster {cluster!r} in this discovery; its clusters are "
                f"0 to {max(sizes)}"
            )
        if cluster in seen:
            raise UserError(f"{path}: cluster {cluster} occurs twice")
        seen.add(cluster)
        if size.strip() != str(sizes[int(cluster)]):
            raise UserError(
                f"{path}: cluster {cluster} has {size} samples in this file and "
                f"{sizes[int(cluster)]} in the discovery; the file belongs to another discovery"
            )
        if name.strip() and sizes[int(cluster)]:
            names[int(cluster)] = name.strip()
    if len(set(names.values())) < 2:
        raise UserError(f"{path}: fill in at least two different names in the column 'name'")
    return names


def save_probe(path: Path, probe: NamedProbe) -> None:
    """Write the probe as plain arrays, which load without running code."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        names=np.array(probe.names),
        mean=probe.linear.mean.numpy(),
        weight=probe.linear.weight.numpy(),
        bias=probe.linear.bias.numpy(),
    )
    write_whole(path, buffer.getvalue())


def load_probe(path: Path) -> NamedProbe:
    """Read what :func:`save_probe` wrote.

    Raises:
        UserError: The file is missing or is not a probe.
    """
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            names = tuple(str(name) for name in arrays["names"])
            mean, weight, bias = (torch.from_numpy(arrays[k]) for k in ("mean", "weight", "bias"))
    except FileNotFoundError as error:
        raise UserError(
            f"--probe {path}: there is no such file; collapse-lit discover --names writes it"
        ) from error
    except Exception as error:  # NumPy raises many error types for a broken or foreign file
        raise UserError(f"--probe {path}: this is not a probe of collapse-lit ({error})") from error
    if weight.shape != (len(names), len(mean)) or bias.shape != (len(names),):
        raise UserError(f"--probe {path}: its arrays do not fit together; fit the probe again")
    return NamedProbe(names, Probe(mean, weight, bias, loss=math.nan))


def write_predictions(
    path: Path, probe: NamedProbe, features: Tensor, paths: Sequence[str] | None
) -> list[int]:
    """Predict and write a name for each sample; return the number of samples of each name.

    Raises:
        UserError: The features do not have the width of the probe, or the file cannot be written.
    """
    width, fitted_on = features.shape[1], len(probe.linear.mean)
    if width != fitted_on:
        raise UserError(
            f"the probe needs {fitted_on} features per sample, but these samples have {width}: use "
            "the same layer of the same classifier"
        )
    number, probability = probe.predict(features)
    rows = zip(
        paths if paths is not None else range(len(features)),
        (probe.names[i] for i in number.tolist()),
        (f"{value:.4f}" for value in probability.tolist()),
        strict=True,
    )
    try:
        write_csv(path, ("path" if paths is not None else "index", "name", "confidence"), rows)
    except OSError as error:
        raise UserError(f"--out {path}: cannot write there ({error.strerror})") from error
    return torch.bincount(number, minlength=len(probe.names)).tolist()


def features_of(folder: DiscoveryFolder, summary: Mapping[str, Any]) -> Tensor:
    """The features of the discovery, checked to be unchanged."""
    file = folder.path / summary["features"]["file"]
    features, _ = read_features(file)
    if digest(features) != summary["features"]["digest"]:
        raise UserError(
            f"{file}: these are not the features of {folder.summary}; run discover again"
        )
    return features
