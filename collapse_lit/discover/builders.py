"""Networks by name: of torchvision, of timm, of Hugging Face, or a class of the user's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

from torch import nn
from torchvision import models
from torchvision.transforms.v2 import InterpolationMode

from collapse_lit.discover.images import Transform, preparation
from collapse_lit.discover.weights import fill
from collapse_lit.errors import UserError, did_you_mean
from collapse_lit.models.state import State, read_state
from collapse_lit.own_code import imported


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, and how its images are prepared.

    Attributes:
        model: a classification model of torchvision's by name, ``timm:NAME``, ``hf:FOLDER`` or
            ``package.module.Class``.
        weights: ``DEFAULT`` or another of its pretrained weights by name, or a file with a state
            dict; None for random weights.
        layer: path of the layer whose input is the feature, or ``output``; None for the layer that
            classifies.
        image_size: resize the shorter side to this and crop the centre; None as the model's
            pretrained weights want it.
        mean: mean of each channel on the scale 0…1; None as the pretrained weights want it.
        std: likewise the standard deviation.
        model_args: what a class of the user's is called with.
        pool: how tokens that enter the layer become one row: ``cls`` or ``mean``.
    """

    model: str
    weights: str | None = None
    layer: str | None = None
    image_size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    model_args: Mapping[str, Any] | None = None
    pool: Any = None


@dataclass(frozen=True)
class Built:
    """A network ready to be run.

    Attributes:
        model: the network.
        transform: what it wants of a picture.
        names: of the classes that it tells apart, None where they are not known.
        notes: sentences that a reader of the result should see.
    """

    model: nn.Module
    transform: Transform
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def build_network(options: NetworkOptions) -> Built:
    """The network of that name with its weights.

    Raises:
        UserError: There is none, its package is missing, or its weights do not fit.
    """
    name = options.model
    if name.startswith("hf:"):
        from collapse_lit.discover.hugging_face import build

        return build(options)
    if options.model_args is not None and not _is_own(name):
        raise UserError("--model_args is for a class of your own: --model package.module.Class")
    if name.startswith("timm:"):
        return _with_timm(options)
    return _with_own(options) if _is_own(name) else _with_torchvision(options)


def _is_own(name: str) -> bool:
    return "." in name and ":" not in name


def _with_torchvision(options: NetworkOptions) -> Built:
    name, weights = options.model, options.weights
    known = models.list_models(module=models)
    if name not in known:
        raise UserError(
            f"--model: torchvision has no classifier {name!r}{did_you_mean(name, known, most=3)}; "
            "there are those such as resnet18 or vit_b_16; for timm's models write timm:NAME, for "
            "your own package.module.Class"
        )
    pretrained = models.get_model_weights(name)
    build = partial(models.get_model, name, weights=None)
    model, names = build(), None
    if weights is not None:
        named = pretrained.__members__
        state = _download(name, named[weights]) if weights in named else _read(weights)
        names = tuple(named[weights].meta["categories"]) if weights in named else None
        model = fill(model, build, state, f"--weights {weights}", name)
    wants, size = pretrained["DEFAULT"].transforms(), options.image_size
    transform = preparation(
        resize=size or wants.resize_size[0],
        crop=size or wants.crop_size[0],
        mean=options.mean or wants.mean,
        std=options.std or wants.std,
        interpolation=wants.interpolation,
    )
    return Built(model, transform, names, _random(options))


def _with_timm(options: NetworkOptions) -> Built:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"--model {options.model} needs timm: pip install timm") from error
    name, weights = options.model.removeprefix("timm:"), options.weights
    known = timm.list_models() + timm.list_pretrained()  # the latter are NAME.TAG
    if name not in known:
        raise UserError(f"--model: timm has no model {name!r}{did_you_mean(name, known, most=3)}")
    build = partial(timm.create_model, name)
    try:
        model = build(pretrained=weights == "DEFAULT")
    except Exception as error:  # whatever the hub's client raises
        raise UserError(f"--weights DEFAULT: cannot be had for {name} ({error})") from error
    if weights not in (None, "DEFAULT"):
        model = fill(model, build, _read(weights), f"--weights {weights}", name)
    wants = timm.data.resolve_model_data_config(model)
    side, size = wants["input_size"][-1], options.image_size
    transform = preparation(
        resize=size or round(side / wants["crop_pct"]),
        crop=size or side,
        mean=options.mean or wants["mean"],
        std=options.std or wants["std"],
        interpolation=InterpolationMode(wants["interpolation"]),
        channels=wants["input_size"][0],
    )
    return Built(model, transform, notes=_random(options))


def _with_own(options: NetworkOptions) -> Built:
    """A class of the user's, or a function of theirs that returns a network."""
    name, weights, size = options.model, options.weights, options.image_size
    make = imported(name, "--model")
    if not callable(make) or isinstance(make, nn.Module):
        raise UserError(f"--model: {name!r} is no class or function that makes a network")
    if size is None:
        raise UserError(f"--model {name}: add --image_size PIXELS, the side it was trained on")
    build = partial(make, **(options.model_args or {}))
    try:
        model = build()
    except TypeError as error:
        raise UserError(f"--model {name}: {error}; give its arguments with --model_args") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"--model: {name!r} makes a {type(model).__name__}, no torch.nn.Module")
    if weights is not None:
        model = fill(model, build, _read(weights), f"--weights {weights}", name)
    notes = _random(options)
    if options.mean is None:
        notes += (f"{name} was given images on the scale 0…1; --mean and --std change that",)
    transform = preparation(
        resize=size,
        crop=size,
        mean=options.mean or [0.0],
        std=options.std or [1.0],
        interpolation=InterpolationMode.BILINEAR,
        channels=_channels(model),
    )
    return Built(model, transform, notes=notes)


def _channels(model: nn.Module) -> int:
    """Channels of the images that a network takes, by its first convolution: 3 without one."""
    convolutions = (m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d))
    return next(convolutions, 3)


def _random(options: NetworkOptions) -> tuple[str, ...]:
    return () if options.weights else (f"{options.model} has random weights: give --weights",)


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
