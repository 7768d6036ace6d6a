"""A run directory of ours: the clean features of its data, by its last checkpoint."""

from pathlib import Path
from typing import Any

import torch
import yaml

from collapse_lit.data import CoarseDataModule
from collapse_lit.data.gaussian import GaussianMixture
from collapse_lit.data.imagefolder import list_images
from collapse_lit.discover.samples import Samples, check_features, make_samples
from collapse_lit.errors import UserError
from collapse_lit.features import View, extract_features, further_views
from collapse_lit.models import CoarseClassifier
from collapse_lit.tracking.checkpoints import newest_checkpoint
from collapse_lit.tracking.run_directory import RunDirectory


def run_samples(path: Path, layer: str | None = None, split: str = "train") -> Samples:
    """The samples of a run's training or test set, with the fine labels that its data have.

    Args:
        path: the run directory, with ``config.yaml`` and ``checkpoints/last.ckpt``.
        layer: path of the layer whose input is the feature, by default the classifier's head.
        split: ``train`` or ``test``.

    Raises:
        UserError: It is no run directory, its data are gone, or its checkpoint is of another model.
    """
    run = RunDirectory(path)
    if not run.config.exists():
        raise UserError(f"--run {path}: it is no run directory: it has no {run.config.name}")
    checkpoint = newest_checkpoint(run)
    if checkpoint is None:
        raise UserError(f"--run {path}: there is no {run.last_checkpoint} to take the network from")
    data, views = _data_and_views(run, split)
    model, layer = _classifier(checkpoint), layer or "head"
    batches = data.clean_dataloaders()[split]
    found = extract_features(model, batches, layer, views=views).averaged(views)
    hierarchy = data.hierarchy
    images = getattr(data.labelled, split)
    return make_samples(
        check_features(found.features.numpy(), f"{path}, layer {layer}"),
        [hierarchy.coarse_names[c] for c in found.coarse.tolist()],
        None if found.fine is None else [hierarchy.fine_names[f] for f in found.fine.tolist()],
        _paths(data, split),
        picture=images.picture if images.has_pictures else None,
        origin={
            "run": str(path),
            "checkpoint": checkpoint.name,
            "layer": layer,
            "split": split,
            "views": 1 + len(views),
        },
        extracted=True,
    )


def _data_and_views(run: RunDirectory, split: str) -> tuple[CoarseDataModule, tuple[View, ...]]:
    """The data module that the run was configured with, and what it looks at beside the images."""
    try:
        config = yaml.safe_load(run.config.read_text())
        options = dict(config["data"])
        if options.get("gaussian"):
            options["gaussian"] = GaussianMixture(**options["gaussian"])
        recovery = config.get("recovery", {})  # older runs lack some of its options
        views = further_views(bool(recovery.get("mirror")), bool(recovery.get("shift")))
        return CoarseDataModule(**options, seed=config["seed_everything"]), views[split]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{run.config}: it is no configuration of a run ({error!r})") from error


def _classifier(checkpoint: Path) -> CoarseClassifier:
    """The network of a checkpoint, which is known to be readable."""
    loaded: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    try:
        model = CoarseClassifier(**{**loaded["hyper_parameters"], "compile": False})
        model.load_state_dict(loaded["state_dict"])
    except (KeyError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{checkpoint}: it is a checkpoint of another model "
            f"({said[:300]}{'…' * (len(said) > 300)})"
        ) from error
    return model


def _paths(data: CoarseDataModule, split: str) -> list[str] | None:
    """The image files of a run on an image folder, in the order of its data set."""
    if data.source != "imagefolder":
        return None
    held_out = data.validation > 0
    folder = data.root / ("train" if held_out else split)
    files = list_images(folder if folder.is_dir() else data.root / "val").files
    if held_out:
        rows = data.rows[split].tolist()
        files = [files[row] for row in rows]
    return [str(path) for path in files]
