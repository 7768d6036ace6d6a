"""Features of a run's data, or of new images, from one of its checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image, ImageOps
from torch import Tensor, nn

from collapse_lit.data import CoarseDataModule
from collapse_lit.data.gaussian import GaussianMixture
from collapse_lit.data.image_files import list_images
from collapse_lit.data.transforms import normaliser
from collapse_lit.discover.heads import Logits
from collapse_lit.discover.images import (
    Transform,
    all_images,
    image_batches,
    labelled_images,
    pictures_from,
)
from collapse_lit.discover.networks import available_device, numbered
from collapse_lit.discover.predictions import of_logits
from collapse_lit.discover.samples import Samples, check_features, make_samples
from collapse_lit.errors import UserError
from collapse_lit.features import View, extract_features, further_views
from collapse_lit.models import CoarseClassifier
from collapse_lit.tracking.checkpoints import newest_checkpoint
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import plain_text


class TrainedRun:
    """A run's network from one of its checkpoints, and the run's data.

    Args:
        path: the run directory, with ``config.yaml`` and ``checkpoints/``.
        layer: path of the layer whose input is the feature; None for the classifier's head.
        checkpoint: a file, or the name of one in ``checkpoints/``; None for the newest.
        split: the split that determines the averaged views: ``train`` or ``test``.

    Raises:
        UserError: The path is not a run directory, or its checkpoint is missing or of another
            model.
    """

    def __init__(
        self,
        path: Path,
        layer: str | None = None,
        checkpoint: str | None = None,
        split: str = "train",
    ) -> None:
        run = RunDirectory(path)
        if not run.config.exists():
            raise UserError(
                f"--run {path}: this is not a run directory: {run.config.name} is missing"
            )
        file = _checkpoint(run, checkpoint)
        self.data, self.views = _data_and_views(run, split)
        self.model, self.layer, self.split = _classifier(file), layer or "head", split
        self.source = f"{path}, layer {self.layer}"
        self.origin: dict[str, Any] = {
            "run": str(path),
            "checkpoint": file.name,
            "layer": self.layer,
            "split": split,
            "views": 1 + len(self.views),
        }

    def own_samples(self) -> Samples:
        """The samples of the split with the fine labels of the run's data."""
        found, logits = self._read(self.data.clean_dataloaders()[self.split])
        hierarchy, images = self.data.hierarchy, getattr(self.data.labelled, self.split)
        finer = found.fine is not None and hierarchy.num_fine > hierarchy.num_coarse
        samples = make_samples(
            check_features(found.features, self.source),
            [hierarchy.coarse_names[c] for c in found.coarse.tolist()],
            [hierarchy.fine_names[f] for f in found.fine.tolist()] if finer else None,
            _paths(self.data, self.split),
            picture=images.picture if images.has_pictures else None,
            origin=self.origin,
            extracted=True,
        )
        return of_logits(logits, hierarchy.coarse_names, samples)

    def samples_of(self, folder: Path) -> Samples:
        """The images of FOLDER/CLASS/…, where CLASS is one of the run's coarse or fine classes.

        Raises:
            UserError: The run's data are not images, an image is broken, or the folder is missing.
        """
        listing, hierarchy = labelled_images(folder), self.data.hierarchy
        found, logits = self._read(self._batches(listing.files))
        labels = [listing.classes[label] for label in listing.labels]
        fine = None
        if not set(labels) <= set(hierarchy.coarse_names) and set(labels) <= set(
            hierarchy.fine_names
        ):
            coarse_of = dict(
                zip(hierarchy.fine_names, hierarchy.fine_to_coarse.tolist(), strict=True)
            )
            fine, labels = labels, [hierarchy.coarse_names[coarse_of[name]] for name in labels]
        samples = make_samples(
            check_features(found.features, self.source),
            labels,
            fine,
            [plain_text(path) for path in listing.files],
            picture=pictures_from(listing.files),
            origin={**self.origin, "images": plain_text(folder)},
            extracted=True,
        )
        return of_logits(logits, hierarchy.coarse_names, samples)

    def features_of(self, folder: Path) -> tuple[Tensor, tuple[str, ...]]:
        """Features (N, d) of all images below a folder, and their paths; class folders are
        optional.

        Raises:
            UserError: As :meth:`samples_of`.
        """
        files = all_images(folder)
        found, _ = self._read(self._batches(files))
        return check_features(found.features, self.source), tuple(map(plain_text, files))

    def _read(self, batches: Any) -> tuple[Any, Tensor | None]:
        device = available_device()
        model: nn.Module = self.model.to(device)
        with Logits(model) as logits:
            found = extract_features(model, batches, self.layer, views=self.views, device=device)
        return found.averaged(self.views), logits.every(1 + len(self.views))

    def _batches(self, files: list[Path]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images, normalised like the run's own images."""
        shape = self.data.image_shape
        if len(shape) != 3 or self.data._statistics is None:
            raise UserError(f"--images: the run {self.origin['run']} was not trained on images")
        normalise = normaliser(self.data._statistics, shape, torch.device("cpu"))
        pixels = image_batches(files, _to_shape(shape))
        return numbered(normalise(images) for images in pixels)


def run_samples(
    path: Path, layer: str | None = None, split: str = "train", checkpoint: str | None = None
) -> Samples:
    """The samples of a run's training or test set; see :class:`TrainedRun`."""
    return TrainedRun(path, layer, checkpoint, split).own_samples()


def _to_shape(shape: tuple[int, ...]) -> Transform:
    """A picture as uint8 (C, H, W), resized and cropped if its size differs."""
    channels, height, width = shape

    def pixels(image: Image.Image) -> Tensor:
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height))
        array = torch.frombuffer(
            bytearray((image.convert("L") if channels == 1 else image).tobytes()), dtype=torch.uint8
        )
        return array.reshape(height, width, channels).permute(2, 0, 1).contiguous()

    return pixels


def _checkpoint(run: RunDirectory, wanted: str | None) -> Path:
    """The file of a checkpoint, checked to be readable."""
    if wanted is None:
        newest = newest_checkpoint(run)
        if newest is None:
            raise UserError(f"--run {run.path}: the checkpoint {run.last_checkpoint} is missing")
        return newest
    for file in (run.checkpoints / wanted, run.checkpoints / f"{wanted}.ckpt", Path(wanted)):
        if file.is_file():
            return file
    known = ", ".join(sorted(path.name for path in run.checkpoints.glob("*.ckpt")))
    raise UserError(f"--checkpoint {wanted}: there is no such file; the run has {known or 'none'}")


def _data_and_views(run: RunDirectory, split: str) -> tuple[CoarseDataModule, tuple[View, ...]]:
    """The run's data module, and the views averaged with each image."""
    try:
        config = yaml.safe_load(run.config.read_text())
        options = dict(config["data"])
        if options.get("gaussian"):
            options["gaussian"] = GaussianMixture(**options["gaussian"])
        recovery = config.get("recovery", {})  # older runs lack some options
        views = further_views(bool(recovery.get("mirror")), bool(recovery.get("shift")))
        return CoarseDataModule(**options, seed=config["seed_everything"]), views[split]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            f"{run.config}: this is not the configuration of a run ({error!r})"
        ) from error


def _classifier(checkpoint: Path) -> CoarseClassifier:
    """Load the network of a checkpoint.

    Raises:
        UserError: The file is not a checkpoint of a CoarseClassifier.
    """
    try:
        loaded: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model = CoarseClassifier(**{**loaded["hyper_parameters"], "compile": False})
        model.load_state_dict(loaded["state_dict"])
    except UserError:
        raise
    except Exception as error:  # torch raises many error types for a broken file
        said = " ".join(str(error).split())
        raise UserError(
            f"{checkpoint}: this is a checkpoint of another model "
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
    return [plain_text(path) for path in files]
