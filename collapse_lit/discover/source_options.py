"""The options that specify the samples, and types that check numbers while parsing."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from collapse_lit.errors import UserError

LARGEST_SEED = 2**32 - 1  # NumPy's
LARGEST_SIDE = 8192


class Parser(argparse.ArgumentParser):
    """A parser that raises ``UserError`` for mistakes in arguments."""

    def error(self, message: str) -> NoReturn:
        """Raise the message for the command line to print."""
        raise UserError(f"{message} ({self.prog} --help lists all options)")


def add_source(parser: Parser, labelled: bool) -> None:
    """Add the options for the three sources of samples."""
    files = parser.add_argument_group("samples: features in files")
    files.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help=".npy (samples, features); "
        + (
            ".npz with the arrays features and labels, and optionally fine, paths and predicted; "
            ".parquet with the columns features and label, and optionally fine, path and predicted"
            if labelled
            else ".npz with the array features; .parquet with the column features"
        ),
    )
    if labelled:
        files.add_argument(
            "--labels",
            type=Path,
            metavar="CSV",
            help="labels for features without them: a header and one row per sample; column "
            "label, and optionally path, predicted (the classifier's prediction) and fine (known "
            "finer labels, empty if unknown; used only for scores after the clustering)",
        )
        files.add_argument(
            "--predictions",
            type=Path,
            metavar="FILE",
            help="the classifier's predictions for samples of any source: .csv with the column "
            "predicted, and optionally loss, path or index; or .npy with the probability of each "
            "class",
        )
    run = parser.add_argument_group("samples: a run of collapse-lit fit")
    run.add_argument(
        "--run",
        type=Path,
        metavar="RUN_DIR",
        help=f"use the {'training' if labelled else 'test'} set of this run, or the images in "
        "--images",
    )
    run.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="checkpoint, such as epoch_010.ckpt (default: the newest)",
    )
    _add_network(parser, labelled)


def _add_network(parser: Parser, labelled: bool) -> None:
    network = parser.add_argument_group("samples: a network and a folder of images")
    network.add_argument(
        "--model",
        metavar="NAME",
        help="a classifier of torchvision; your own class as package.module.Class; timm:NAME "
        "(needs timm); hf:FOLDER of Hugging Face (needs transformers)",
    )
    network.add_argument(
        "--model_args",
        type=_mapping,
        metavar="ARGS",
        help="arguments of your own class, such as '{width: 8}'",
    )
    network.add_argument(
        "--weights",
        metavar="FILE",
        help="file with the model's state dict, or DEFAULT (downloaded)",
    )
    network.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="images in FOLDER/CLASS/*.jpg" if labelled else "a folder of images",
    )
    network.add_argument(
        "--layer",
        help="layer whose input is the feature (default: the last nn.Linear, or else the last "
        "convolution); output if the network returns the features",
    )
    network.add_argument(
        "--pool",
        choices=("cls", "mean"),
        help="for a layer with token input: use the first token or the mean of all tokens",
    )
    network.add_argument(
        "--image_size",
        type=whole_number(1, LARGEST_SIDE),
        metavar="PIXELS",
        help="size to resize and crop to (default: the model's; required for your own class)",
    )
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        network.add_argument(
            f"--{name}",
            type=_above(least),
            nargs="+",
            metavar="X",
            help="per channel or for all, on the scale 0 to 1 (default: the model's, mostly "
            "those of ImageNet; none for your own class)",
        )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An option type for whole numbers in this range."""

    def whole(text: str) -> int:
        if not (text.strip().isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return whole


def _above(least: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > least):
            what = "number above 0" if least == 0 else "finite number"
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
        return value

    return number


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mapping such as '{{width: 8}}'")
    return value
