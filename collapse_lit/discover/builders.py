"""Networks by name: from torchvision, timm or Hugging Face, or a user's class."""

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
    """The network and the preparation of its images.

    Attributes:
        model: name of a torchvision classification model, ``timm:NAME``, ``hf:FOLDER`` or
            ``package.module.Class``.
        weights: name of pretrained weights such as ``DEFAULT``, or a file with a state dict; None
            for random weights.
        layer: path of the layer whose input is the feature, or ``output``; None for the layer that
            classifies.
        image_size: resize the shorter side to this and crop the centre; None for the size of the
            pretrained weights.
        mean: mean of each channel on the scale 0…1; None for that of the pretrained weights.
        std: standard deviation of each channel; None for that of the pretrained weights.
        model_args: arguments of a user's class.
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
    """A network that is ready to run.

    Attributes:
        model: the network.
        transform: the preparation of a picture for the network.
        names: names of its classes; None if unknown.
        notes: sentences that a reader of the result should see.
    """

    model: nn.Module
    transform: Transform
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def build_network(options: NetworkOptions) -> Built:
    """Build the network of this name with its weights.

    Raises:
        UserError: The name is unknown, its package is missing, or its weights do not fit.
    """
    name = options.model
    if name.startswith("hf:"):
        from collapse_lit.discover.hugging_face import build

        return build(options)
    if options.model_args is not None and not _is_own(name):
        raise UserError("--model_args needs your own class: --model package.module.Class")
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
            "give a name such as resnet18 or vit_b_16, timm:NAME for a model of timm, or your own "
            "package.module.Class"
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
    known = timm.list_models() + timm.list_pretrained()  # pretrained models are NAME.TAG
    if name not in known:
        raise UserError(f"--model: timm has no model {name!r}{did_you_mean(name, known, most=3)}")
    build = partial(timm.create_model, name)
    try:
        model = build(pretrained=weights == "DEFAULT")
    except Exception as error:  # the hub's client raises many error types
        raise UserError(
            f"--weights DEFAULT: the weights of {name} cannot be loaded ({error})"
        ) from error
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
    """A user's class, or a user's function that returns a network."""
    name, weights, size = options.model, options.weights, options.image_size
    make = imported(name, "--model")
    if not callable(make) or isinstance(make, nn.Module):
        raise UserError(f"--model: {name!r} is not a class or function that returns a network")
    if size is None:
        raise UserError(f"--model {name}: add --image_size PIXELS, the side of its training images")
    build = partial(make, **(options.model_args or {}))
    try:
        model = build()
    except TypeError as error:
        raise UserError(f"--model {name}: {error}; give its arguments with --model_args") from error
    if not isinstance(model, nn.Module):
        raise UserError(
            f"--model: {name!r} returns a {type(model).__name__}, not a torch.nn.Module"
        )
    if weights is not None:
        model = fill(model, build, _read(weights), f"--weights {weights}", name)
    notes = _random(options)
    if options.mean is None:
        notes += (f"{name} got images on the scale 0…1; use --mean and --std to normalise them",)
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
    """Number of input channels, read from the first convolution; 3 without one."""
    convolutions = (m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d))
    return next(convolutions, 3)


def _random(options: NetworkOptions) -> tuple[str, ...]:
    return () if options.weights else (f"{options.model} has random weights: pass --weights",)


def _read(weights: str) -> State:
    """Read the state dict in a user's file."""
    if not Path(weights).exists():
        raise UserError(
            f"--weights {weights}: this is neither a file nor the name of pretrained weights"
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
