"""The options that say where samples are, and numbers checked as they are read."""

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
    """Arguments whose mistakes end in one message, as all the user's mistakes do."""

    def error(self, message: str) -> NoReturn:
        """Raise what the command line prints."""
        raise UserError(f"{message} ({self.prog} --help lists all options)")


def add_source(parser: Parser, labelled: bool) -> None:
    """The three ways to say where samples are."""
    files = parser.add_argument_group("samples: features in files")
    files.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help=".npy (samples, features); "
        + (
            ".npz with the arrays features and labels, or also fine, paths and predicted; .parquet "
            "with the columns features and label, or also fine, path and predicted"
            if labelled
            else ".npz with the array features; .parquet with the column features"
        ),
    )
    if labelled:
        files.add_argument(
            "--labels",
            type=Path,
            metavar="CSV",
            help="for features without labels: a header and a row a sample; column label, or also "
            "path, predicted (the classifier's own answer) and fine (known finer labels, empty "
            "where unknown; they are only compared with, afterwards)",
        )
        files.add_argument(
            "--predictions",
            type=Path,
            metavar="FILE",
            help="what the classifier made of the samples, of any source: .csv with the column "
            "predicted, or also loss, path or index; or .npy with the probability of each class",
        )
    run = parser.add_argument_group("samples: a run of collapse-lit fit")
    run.add_argument(
        "--run",
        type=Path,
        metavar="RUN_DIR",
        help=f"the {'training' if labelled else 'test'} set of this run, or --images",
    )
    run.add_argument(
        "--checkpoint", metavar="FILE", help="such as epoch_010.ckpt (default: the newest)"
    )
    _add_network(parser, labelled)


def _add_network(parser: Parser, labelled: bool) -> None:
    network = parser.add_argument_group("samples: a network and a folder of images")
    network.add_argument(
        "--model",
        metavar="NAME",
        help="a classifier of torchvision's; your own class as package.module.Class; timm:NAME "
        "(needs timm); hf:FOLDER of Hugging Face (needs transformers)",
    )
    network.add_argument(
        "--model_args",
        type=_mapping,
        metavar="ARGS",
        help="what your own class is called with: '{width: 8}'",
    )
    network.add_argument(
        "--weights", metavar="FILE", help="a file with its state dict, or DEFAULT (downloaded)"
    )
    network.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="FOLDER/CLASS/*.jpg" if labelled else "a folder of images",
    )
    network.add_argument(
        "--layer",
        help="layer whose input is the feature (default: the last nn.Linear, or else the last "
        "convolution), or output: what the network returns is the feature",
    )
    network.add_argument(
        "--pool",
        choices=("cls", "mean"),
        help="for a layer that tokens enter: take the first one, or the mean of all",
    )
    network.add_argument(
        "--image_size",
        type=whole_number(1, LARGEST_SIDE),
        metavar="PIXELS",
        help="resize and crop (default: the model's; your own needs it)",
    )
    for name, least in (("mean", -math.inf), ("std", 0.0)):
        network.add_argument(
            f"--{name}",
            type=_above(least),
            nargs="+",
            metavar="X",
            help="of each channel or of all, on the scale 0 to 1 (default: the model's, ImageNet's "
            "mostly; none for your own)",
        )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """The type of an option that is a whole number in this range."""

    def whole(text: str) -> int:
        if not (text.strip().isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
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
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return value

    return number


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no mapping such as '{{width: 8}}'")
    return value
