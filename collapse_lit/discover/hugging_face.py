"""Image classifiers in the format of Hugging Face, from a folder or by name."""

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from collapse_lit.discover.builders import Built, NetworkOptions
from collapse_lit.errors import UserError

TAKES = ("model", "layer", "pool")


def build(options: NetworkOptions) -> Built:
    """Build the classifier of ``hf:FOLDER`` with its weights, preparation and class names.

    Raises:
        UserError: transformers is missing, the classifier is missing, or an option does not apply.
    """
    name = options.model.removeprefix("hf:")
    for option, value in vars(options).items():
        if value is not None and option not in TAKES:
            raise UserError(
                f"--{option} cannot be combined with hf:, because the model's folder defines it"
            )
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise UserError(
            f"--model {options.model} needs transformers: pip install transformers"
        ) from error
    local = Path(name).is_dir()
    try:
        model = AutoModelForImageClassification.from_pretrained(name, local_files_only=local)
        processor = AutoImageProcessor.from_pretrained(name, local_files_only=local)
    except Exception as error:  # the hub's client raises many error types
        said = " ".join(str(error).split())
        raise UserError(
            f"--model {options.model}: no image classifier can be loaded ({said[:300]})"
        ) from error

    def transform(image: Image.Image) -> Tensor:
        prepared: Any = processor(images=image, return_tensors="pt")
        return prepared["pixel_values"][0]

    labels = model.config.id2label
    names = tuple(str(labels[c]) for c in range(len(labels)))
    generic = all(label == f"LABEL_{c}" for c, label in enumerate(names))
    return Built(model, transform, None if generic else names)
