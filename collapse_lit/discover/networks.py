"""Features of a folder of images: the input of a network's classifying layer."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from collapse_lit.discover.builders import Built, NetworkOptions, build_network
from collapse_lit.discover.heads import OUTPUT, Logits, classifying_layer, prepared
from collapse_lit.discover.images import all_images, image_batches, labelled_images, pictures_from
from collapse_lit.discover.predictions import of_logits
from collapse_lit.discover.samples import Samples, check_features, make_samples
from collapse_lit.errors import UserError
from collapse_lit.features import extract_features
from collapse_lit.tracking.whole_files import plain_text

__all__ = ["NetworkOptions", "available_device", "folder_features", "network_samples", "numbered"]


def network_samples(options: NetworkOptions, folder: Path) -> Samples:
    """The features of FOLDER/CLASS/*.jpg, labelled by class folder.

    Raises:
        UserError: The model, its weights, its layer or an image cannot be used.
    """
    listing = labelled_images(folder)
    built = build_network(options)
    features, logits, layer = network_features(built, options, listing.files)
    samples = make_samples(
        features,
        [listing.classes[label] for label in listing.labels],
        paths=[plain_text(path) for path in listing.files],
        picture=pictures_from(listing.files),
        origin={**vars(options), "layer": layer, "images": plain_text(folder)},
        notes=built.notes,
        extracted=True,
    )
    random = options.weights is None and not options.model.startswith("hf:")
    if random or layer == OUTPUT:  # without trained logits, there are no predictions
        return samples
    return of_logits(logits, built.names, samples)


def folder_features(options: NetworkOptions, folder: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Features (N, d) of all images below a folder, and their paths; class folders are optional.

    Raises:
        UserError: As :func:`network_samples`.
    """
    files = all_images(folder)
    features = network_features(build_network(options), options, files)[0]
    return features, tuple(map(plain_text, files))


def network_features(
    built: Built, options: NetworkOptions, files: Sequence[Path]
) -> tuple[Tensor, Tensor | None, str]:
    """Features (N, d) float32 of image files on the CPU, the logits, and the layer.

    Raises:
        UserError: The layer or an image cannot be used.
    """
    layer = options.layer or classifying_layer(built.model, options.model)
    model, path = prepared(built.model, layer, options.pool)
    device = available_device()
    model.to(device)
    with Logits(model) as logits:
        try:
            found = extract_features(
                model, numbered(image_batches(files, built.transform)), path, device=device
            )
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"--model {options.model}: a batch of images does not fit into the memory of "
                f"{device}; set CUDA_VISIBLE_DEVICES='' to use the CPU ({error})"
            ) from error
        except (RuntimeError, AssertionError) as error:  # vision transformers assert the image size
            raise UserError(
                f"--model {options.model} cannot process these images: {error}; set --image_size"
            ) from error
    source = f"{options.model}, layer {layer}"
    return check_features(found.features, source), logits.every(), layer


def available_device() -> torch.device:
    """The accelerator of this machine, or the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def numbered(batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches with the row of each image as its label."""
    start = 0
    for images in batches:
        yield images, torch.arange(start, start + len(images))
        start += len(images)
