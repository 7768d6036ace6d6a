"""A network by name with the user's weights: what enters its last linear layer, for a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2 import InterpolationMode

from collapse_lit.discover.images import (
    Transform,
    all_images,
    image_batches,
    labelled_images,
    pictures_of,
    preparation,
)
from collapse_lit.discover.samples import Samples, check_features, make_samples
from collapse_lit.discover.weights import fill, last_linear
from collapse_lit.errors import UserError, did_you_mean
from collapse_lit.features import extract_features
from collapse_lit.models.state import State, read_state


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, and how its images are prepared.

    Attributes:
        model: a classification model of torchvision's by name, or ``timm:NAME``.
        weights: ``DEFAULT`` or another of its pretrained weights by name, or a file with a state
            dict; None for random weights.
        layer: path of the layer whose input is the feature; None for the last ``nn.Linear``.
        image_size: resize the shorter side to this and crop the centre; None as the model's
            pretrained weights want it.
        mean: mean of each channel on the scale 0…1; None as the pretrained weights want it.
        std: likewise the standard deviation.
    """

    model: str
    weights: str | None = None
    layer: str | None = None
    image_size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None


def network_samples(options: NetworkOptions, folder: Path) -> Samples:
    """The features of FOLDER/CLASS/*.jpg, labelled by their class folders.

    Raises:
        UserError: The model, its weights, its layer or an image cannot be used.
    """
    listing = labelled_images(folder)
    features, layer = network_features(options, listing.files)
    notes = () if options.weights else (f"{options.model} has random weights: give --weights",)
    return make_samples(
        features,
        [listing.classes[label] for label in listing.labels],
        paths=[str(path) for path in listing.files],
        picture=pictures_of(listing.files),
        origin={**vars(options), "layer": layer, "images": str(folder)},
        notes=notes,
        extracted=True,
    )


def folder_features(options: NetworkOptions, folder: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Features (N, d) of all images below a folder, and their paths; no class is needed.

    Raises:
        UserError: As :func:`network_samples`.
    """
    files = all_images(folder)
    return network_features(options, files)[0], tuple(str(path) for path in files)


def network_features(options: NetworkOptions, files: Sequence[Path]) -> tuple[Tensor, str]:
    """Features (N, d) float32 of image files on the CPU, and the layer that they enter.

    Raises:
        UserError: The model, its weights, its layer or an image cannot be used.
    """
    model, transform = _with_timm(options) if _is_timm(options) else _with_torchvision(options)
    layer = options.layer or last_linear(model, options.model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = extract_features(
            model.to(device), image_batches(files, transform), layer, device=device
        )
    except (RuntimeError, AssertionError) as error:  # vision transformers assert the size
        raise UserError(
            f"--model {options.model} does not take these images: {error}; see --image_size"
        ) from error
    return check_features(found.features.cpu().numpy(), f"{options.model}, layer {layer}"), layer


def _is_timm(options: NetworkOptions) -> bool:
    return options.model.startswith("timm:")


def _with_torchvision(options: NetworkOptions) -> tuple[nn.Module, Transform]:
    name, weights = options.model, options.weights
    known = models.list_models(module=models)
    if name not in known:
        raise UserError(
            f"--model: torchvision has no classifier {name!r}{did_you_mean(name, known, most=3)}; "
            "there are those such as resnet18 or vit_b_16; for timm's models write timm:NAME"
        )
    pretrained = models.get_model_weights(name)
    build = partial(models.get_model, name, weights=None)
    model = build()
    if weights is not None:
        named = pretrained.__members__
        state = _download(name, named[weights]) if weights in named else _read(weights)
        model = fill(model, build, state, f"--weights {weights}", name)
    wants, size = pretrained["DEFAULT"].transforms(), options.image_size
    return model, preparation(
        resize=size or wants.resize_size[0],
        crop=size or wants.crop_size[0],
        mean=options.mean or wants.mean,
        std=options.std or wants.std,
        interpolation=wants.interpolation,
    )


def _with_timm(options: NetworkOptions) -> tuple[nn.Module, Transform]:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"--model {options.model} needs timm: pip install timm") from error
    name, weights = options.model.removeprefix("timm:"), options.weights
    if name not in timm.list_models():
        near = did_you_mean(name, timm.list_models(), most=3)
        raise UserError(f"--model: timm has no model {name!r}{near}")
    build = partial(timm.create_model, name)
    try:
        model = build(pretrained=weights == "DEFAULT")
    except Exception as error:  # whatever the hub's client raises
        raise UserError(f"--weights DEFAULT: cannot be had for {name} ({error})") from error
    if weights not in (None, "DEFAULT"):
        model = fill(model, build, _read(weights), f"--weights {weights}", name)
    wants = timm.data.resolve_model_data_config(model)
    side, size = wants["input_size"][-1], options.image_size
    return model, preparation(
        resize=size or round(side / wants["crop_pct"]),
        crop=size or side,
        mean=options.mean or wants["mean"],
        std=options.std or wants["std"],
        interpolation=InterpolationMode(wants["interpolation"]),
    )


def _read(weights: str) -> State:
    """The state dict in a file of the user's."""
    if not Path(weights).exists():
        raise UserError(
            f"--weights {weights}: there is neither such a file nor such pretrained weights"
        )
    return read_state(Path(weights), "--weights")


def _download(name: str, weights: Any) -> State:
    try:
        return weights.get_state_dict(check_hash=True, weights_only=True)
    except (URLError, OSError) as error:
        raise UserError(
            f"--weights {weights.name}: the weights of {name} cannot be downloaded ({error}); "
            "give a file with its state dict"
        ) from error
