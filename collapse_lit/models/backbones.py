"""Backbones by name, which map each image to a feature vector."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from collapse_lit.errors import UserError, did_you_mean
from collapse_lit.models.fast_cnn import FastCNN
from collapse_lit.own_code import imported

# Images up to this side get a CIFAR stem: the ImageNet stem (7×7 stride 2, then max pooling)
# would reduce a 32×32 image to 8×8 positions.
SMALL_IMAGE = 64


def make_backbone(name: str, image_shape: tuple[int, ...], **options: Any) -> tuple[nn.Module, int]:
    """Build a network without its classifier.

    Args:
        name: ``fast_cnn``, ``small_cnn``, ``small_vit`` (a vision transformer; its feature is the
            class token), ``mlp``, ``pixels`` (the flattened input, as a control), any
            classification model of torchvision's registry (``resnet18``, ``convnext_tiny``, …),
            or your own ``package.module.Class``: a ``torch.nn.Module``, installed or in the working
            directory, that returns features (N, d). ResNets of torchvision get the CIFAR stem for
            images up to 64 pixels per side.
        image_shape: Shape of one input: (C, H, W) for images, (d,) for vectors.
        options: Options of the builder or class, such as ``width`` for ``small_cnn``. For a ResNet,
            ``width`` is the number of channels of the first stage, 64 in torchvision. For
            ``small_vit``: ``width`` (192 features of a token), ``depth`` (6 blocks), ``heads`` (3)
            and ``patch`` (4 pixels per side).

    Returns:
        The backbone, (N, *image_shape) → (N, d), and d, the number of features.

    Raises:
        UserError: The name is unknown, or the backbone does not accept these options or inputs of
            this shape.
    """
    builder = _BUILDERS.get(name, _own_backbone if "." in name else _torchvision_backbone)
    try:
        backbone = builder(name, image_shape, **options)
    except TypeError as error:
        raise UserError(
            f"model.backbone_args: {name!r} does not accept {options}: {error}"
        ) from error
    return backbone, _feature_width(name, backbone, image_shape)


def _small_cnn(name: str, image_shape: tuple[int, ...], width: int = 32) -> nn.Module:
    """Three stages of two 3×3 convolutions, each with half the resolution; 4·width features."""
    if len(image_shape) != 3:
        raise UserError(f"model.backbone: small_cnn takes images (C, H, W), not {image_shape}")
    channels = [image_shape[0], width, 2 * width, 4 * width]
    stages: list[nn.Module] = []
    for stage, (inside, outside) in enumerate(pairwise(channels)):
        if stage:
            stages.append(nn.MaxPool2d(2))
        stages += [_conv_bn_relu(inside, outside), _conv_bn_relu(outside, outside)]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _fast_cnn(
    name: str, image_shape: tuple[int, ...], widths: Sequence[int] = (64, 256, 256)
) -> nn.Module:
    if len(image_shape) != 3:
        raise UserError(f"model.backbone: fast_cnn takes images (C, H, W), not {image_shape}")
    return FastCNN(image_shape[0], widths)


def _small_vit(
    name: str,
    image_shape: tuple[int, ...],
    width: int = 192,
    depth: int = 6,
    heads: int = 3,
    patch: int = 4,
) -> nn.Module:
    """A vision transformer of torchvision; its class token is the feature."""
    from torchvision.models import VisionTransformer

    channels, *sides = image_shape
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] % patch:
        raise UserError(
            f"model.backbone: small_vit takes square images (C, H, H) with H a multiple of "
            f"patch={patch}, not {image_shape}; patch is one of model.backbone_args"
        )
    if width % heads:
        raise UserError(
            f"model.backbone_args: the width of small_vit must be a multiple of heads={heads}, not "
            f"{width}"
        )
    model = VisionTransformer(sides[0], patch, depth, heads, width, mlp_dim=4 * width)
    model.heads = nn.Identity()
    if channels != 3:
        _replace_first_conv(model, channels)
    return model


def _conv_bn_relu(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )


def _mlp(name: str, image_shape: tuple[int, ...], width: int = 256, depth: int = 1) -> nn.Module:
    """``depth`` hidden ReLU layers of ``width`` units on the flattened input."""
    layers: list[nn.Module] = [nn.Flatten()]
    inside = torch.Size(image_shape).numel()
    for _ in range(depth):
        layers += [nn.Linear(inside, width), nn.ReLU()]
        inside = width
    return nn.Sequential(*layers)


def _pixels(name: str, image_shape: tuple[int, ...]) -> nn.Module:
    """The flattened input as the feature: the baseline for any network."""
    return nn.Flatten()


def _own_backbone(name: str, image_shape: tuple[int, ...], **options: Any) -> nn.Module:
    """A user's module class by its import path; anything else is refused without being called."""
    found = imported(name, "model.backbone")
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UserError(f"model.backbone: {name!r} is not a subclass of torch.nn.Module")
    return found(**options)


def _torchvision_backbone(
    name: str, image_shape: tuple[int, ...], width: int | None = None, **options: Any
) -> nn.Module:
    from torchvision import models

    classifiers = models.list_models(module=models)
    if name not in classifiers:
        known = [*_BUILDERS, *classifiers]
        raise UserError(
            f"model.backbone: {name!r} is unknown{did_you_mean(name, known, most=3)} Give "
            "fast_cnn, small_cnn, small_vit, mlp, a classification model of torchvision, or your "
            "own as package.module.Class"
        )
    model = models.get_model(name, weights=None, **options)
    if width is not None:
        if not isinstance(model, models.ResNet):
            raise UserError(
                f"model.backbone_args: {name!r} has no option width; of torchvision's models, only "
                "ResNets have it"
            )
        _set_width(model, width)
    _remove_classifier(name, model)
    if image_shape[0] != 3:
        _replace_first_conv(model, image_shape[0])
    if isinstance(model, models.ResNet) and max(image_shape[1:]) <= SMALL_IMAGE:
        model.conv1 = nn.Conv2d(image_shape[0], model.conv1.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model


def _set_width(model: Any, width: int) -> None:
    """Make a torchvision ResNet start with ``width`` channels; each further stage doubles them.

    torchvision's own ``_make_layer`` rebuilds the layers, with its initialisation.
    """
    model.inplanes = width
    model.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    for stage in range(4):
        blocks = getattr(model, f"layer{stage + 1}")
        stride = 1 if stage == 0 else 2
        made = model._make_layer(type(blocks[0]), width << stage, len(blocks), stride)
        setattr(model, f"layer{stage + 1}", made)
    model.fc = nn.Linear(model.inplanes, model.fc.out_features)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _remove_classifier(name: str, model: nn.Module) -> None:
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(
            f"model.backbone: {name!r} has no linear last layer, whose input is measured"
        )
    model.set_submodule(linear[-1], nn.Identity())


def _replace_first_conv(model: nn.Module, channels: int) -> None:
    path, conv = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    model.set_submodule(
        path,
        nn.Conv2d(
            channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            bias=conv.bias is not None,
        ),
    )


def _feature_width(name: str, backbone: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Number of features, from one forward pass on two blank images."""
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            features: object = backbone(torch.zeros(2, *image_shape))
    except RuntimeError as error:
        raise UserError(
            f"model.backbone: {name!r} does not accept inputs of shape {image_shape}: {error}"
        ) from error
    backbone.train(was_training)
    if not isinstance(features, Tensor):
        raise UserError(
            f"model.backbone: {name!r} must return a tensor, not a {type(features).__name__}"
        )
    if features.ndim != 2:
        raise UserError(
            f"model.backbone: {name!r} must return features (N, d); its features of one image have "
            f"shape {features.shape[1:]}"
        )
    return features.shape[1]


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "fast_cnn": _fast_cnn,
    "small_cnn": _small_cnn,
    "small_vit": _small_vit,
    "mlp": _mlp,
    "pixels": _pixels,
}
