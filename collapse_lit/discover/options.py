"""The options of ``collapse-lit discover`` and ``collapse-lit predict``, checked as read."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from collapse_lit.errors import UserError

LARGEST_SEED = 2**32 - 1  # NumPy's
LARGEST_SIDE = 8192
EXPORTS = ("parquet", "projector")

DISCOVER = """Find hidden sub-classes in a classifier: sub-populations inside its classes that
nobody labelled. They are in the features that enter its last layer already, and are found there
by clustering inside each class; no finer label is needed.

  collapse-lit discover --features features.npy --labels labels.csv --out found
  collapse-lit discover --run runs/quickstart --out found
  collapse-lit discover --run runs/mine --images photos --out found
  collapse-lit discover --model resnet18 --weights mine.pt --images photos --out found
  collapse-lit discover --model mynets.Net --image_size 64 --images photos --out found
  collapse-lit discover --out found --names found/names.csv

The last line comes after a look at found/report.html and filling in names: it fits a linear probe
on the named clusters, which collapse-lit predict then applies to new samples."""

PREDICT = """Predict the names given to sub-classes, for new samples of the same classifier.

  collapse-lit predict --probe found/probe.npz --features new.npy --out predictions.csv
  collapse-lit predict --probe found/probe.npz --run runs/mine --images new --out predictions.csv
  collapse-lit predict --probe found/probe.npz --model resnet18 --images new --out p.csv"""


class Parser(argparse.ArgumentParser):
    """Arguments whose mistakes end in one message, as all the user's mistakes do."""

    def error(self, message: str) -> NoReturn:
        """Raise what the command line prints."""
        raise UserError(f"{message} ({self.prog} --help lists all options)")


def discover_parser() -> Parser:
    """The options of ``collapse-lit discover``."""
    parser = _parser("discover", DISCOVER)
    _add_source(parser, labelled=True)
    what = parser.add_argument_group("what to look for")
    what.add_argument(
        "--k",
        default="auto",
        help="clusters in each class: auto (estimated, 1 to 8; 1 means no sub-structure), a number "
        "for all, or '{cat: 3, dog: 2}' for some by name and auto for the rest (default: auto)",
    )
    what.add_argument(
        "--space",
        default="auto",
        help="coordinates and clusterer, such as white32/gmm or raw/kmeans: auto (chosen for each "
        "class without labels; the default), or one for all classes",
    )
    what.add_argument(
        "--seed",
        type=_whole(0, LARGEST_SEED),
        default=0,
        help="seed of all random starts (default: 0)",
    )
    again = parser.add_argument_group("samples: clusters of an earlier discovery")
    again.add_argument(
        "--within",
        type=Path,
        metavar="DIR",
        help="folder of that discovery; its other clusters stay as they are, with their names",
    )
    again.add_argument(
        "--cluster", type=_whole(0, LARGEST_SEED), nargs="+", metavar="N", help="look into these"
    )
    out = parser.add_argument_group("where it goes")
    out.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for clusters.csv, clusters.json, report.html and names.csv",
    )
    out.add_argument(
        "--names",
        type=Path,
        metavar="CSV",
        help="DIR/names.csv with names filled in: fit them and write DIR/probe.npz",
    )
    out.add_argument(
        "--export",
        nargs="+",
        choices=EXPORTS,
        metavar="FORMAT",
        help="write the discovery that is in DIR as parquet (DIR/clusters.parquet, with features) "
        "or projector (DIR/projector, for TensorBoard)",
    )
    return parser


def predict_parser() -> Parser:
    """The options of ``collapse-lit predict``."""
    parser = _parser("predict", PREDICT)
    parser.add_argument(
        "--probe", type=Path, required=True, metavar="NPZ", help="what discover --names wrote"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="CSV", help="file for path or index, name, …"
    )
    _add_source(parser, labelled=False)
    return parser


def _parser(command: str, description: str) -> Parser:
    return Parser(
        f"collapse-lit {command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_source(parser: Parser, labelled: bool) -> None:
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
        type=_whole(1, LARGEST_SIDE),
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


def _whole(least: int, most: int) -> Callable[[str], int]:
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
