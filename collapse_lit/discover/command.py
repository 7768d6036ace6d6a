"""``collapse-lit discover`` and ``collapse-lit predict``: arguments in, files and a table out."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import yaml
from rich.console import Console
from rich.markup import escape

from collapse_lit.discover.inputs import Source
from collapse_lit.errors import UserError

DISCOVER = """Find hidden sub-classes in a classifier: sub-populations inside its classes that
nobody labelled. They are in the features that enter its last layer already, and are found there
by clustering inside each class; no finer label is needed.

  collapse-lit discover --features features.npy --labels labels.csv --out found
  collapse-lit discover --run runs/quickstart --out found
  collapse-lit discover --model resnet18 --weights mine.pt --images photos --out found
  collapse-lit discover --out found --names found/names.csv

The last line comes after a look at found/report.html and filling in names: it fits a linear probe
on the named clusters, which collapse-lit predict then applies to new samples."""

PREDICT = """Predict the names given to sub-classes, for new samples of the same classifier.

  collapse-lit predict --probe found/probe.npz --features new.npy --out predictions.csv
  collapse-lit predict --probe found/probe.npz --model resnet18 --weights mine.pt --images new \\
    --out predictions.csv"""


class Parser(argparse.ArgumentParser):
    """Arguments whose mistakes end in one message, as all the user's mistakes do."""

    def error(self, message: str) -> NoReturn:
        """Raise what the command line prints."""
        raise UserError(f"{message} ({self.prog} --help lists all options)")


def run_discover(arguments: Sequence[str]) -> None:
    """Find sub-classes, or fit the names given to them.

    Raises:
        UserError: The input, the options or the folder cannot be used.
    """
    options = discover_parser().parse_args(arguments)
    source = _source(options)
    console = Console(highlight=False, soft_wrap=True)
    if options.names is None:
        _discover(source, options, console)
        return
    if source != Source():
        raise UserError("--names goes with --out alone: the features are those of that discovery")
    from collapse_lit.discover.naming import fit_names
    from collapse_lit.discover.outputs import DiscoveryFolder

    folder = DiscoveryFolder(options.out)
    fitted = fit_names(folder, options.names)
    console.print(
        f"Fitted {len(fitted.probe.names)} names on {fitted.samples} samples; it gives "
        f"{100 * fitted.agreement:.1f} % of them the name of their cluster."
    )
    if fitted.unnamed:
        left_out = ", ".join(str(cluster) for cluster in fitted.unnamed)
        console.print(f"Without a name, and left out: cluster {left_out}")
    console.print(f"Probe    {escape(str(folder.probe))}")


def run_predict(arguments: Sequence[str]) -> None:
    """Predict the names of new samples.

    Raises:
        UserError: The probe, the input or the output file cannot be used.
    """
    options = predict_parser().parse_args(arguments)
    from collapse_lit.discover.inputs import load_unlabelled
    from collapse_lit.discover.naming import load_probe, write_predictions

    probe = load_probe(options.probe)
    features, paths = load_unlabelled(_source(options))
    counts = write_predictions(options.out, probe, features, paths)
    console = Console(highlight=False, soft_wrap=True)
    for name, count in zip(probe.names, counts, strict=True):
        console.print(f"{count:8,}  {escape(name)}")
    console.print(f"Predictions  {escape(str(options.out))}")


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
    what.add_argument("--seed", type=int, default=0, help="seed of all random starts (default: 0)")
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
            ".npz with the arrays features and labels, or also fine and paths; .parquet with the "
            "columns features and label, or also fine and path"
            if labelled
            else ".npz with the array features; .parquet with the column features"
        ),
    )
    if labelled:
        files.add_argument(
            "--labels",
            type=Path,
            metavar="CSV",
            help="for .npy: a header and a row a sample; column label, or also path and fine "
            "(known finer labels, empty where unknown; they are only compared with, afterwards)",
        )
    run = parser.add_argument_group("samples: a run of collapse-lit fit")
    run.add_argument(
        "--run",
        type=Path,
        metavar="RUN_DIR",
        help=f"the {'training' if labelled else 'test'} set of this run, by its last checkpoint",
    )
    network = parser.add_argument_group("samples: a network and a folder of images")
    network.add_argument(
        "--model", metavar="NAME", help="a classifier of torchvision's, or timm:NAME (needs timm)"
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
        "--layer", help="layer whose input is the feature (default: the last nn.Linear)"
    )
    network.add_argument(
        "--image_size", type=int, metavar="PIXELS", help="resize and crop (default: the model's)"
    )
    for name in ("mean", "std"):
        network.add_argument(
            f"--{name}",
            type=float,
            nargs=3,
            metavar=("R", "G", "B"),
            help="of each channel, on the scale 0 to 1 (default: the model's, ImageNet's mostly)",
        )


def _source(options: argparse.Namespace) -> Source:
    return Source(**{field.name: getattr(options, field.name, None) for field in fields(Source)})


def _clusters(text: str) -> Any:
    """``auto``, a number or a mapping; the rest is found to be wrong where classes are known."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--k {text}: 'auto', 3 or '{{cat: 3}}' would be right") from error


def _discover(source: Source, options: argparse.Namespace, console: Console) -> None:
    """Read, find, compare, write."""
    source.check()
    from collapse_lit.discover.agreement import agree
    from collapse_lit.discover.discovery import discover, spaces_wanted
    from collapse_lit.discover.gallery import choose_members, hang
    from collapse_lit.discover.inputs import load_samples
    from collapse_lit.discover.outputs import DiscoveryFolder, summarise, write_tables
    from collapse_lit.discover.page import write_page
    from collapse_lit.discover.terminal import print_summary

    k = _clusters(options.k)
    spaces_wanted(options.space, estimate=k == "auto")
    folder = DiscoveryFolder(options.out)
    folder.claim()
    samples = load_samples(source)
    found = discover(samples, k, options.seed, options.space)
    asked = {"k": k, "space": options.space, "seed": options.seed}
    chosen = choose_members(samples, found)
    summary = summarise(samples, found, chosen, agree(samples, found), asked)
    write_tables(folder, samples, found, summary)
    write_page(folder.report, summary, hang(samples, chosen), samples, found)
    print_summary(summary, console)
    for title, path, hint in (
        ("Report", folder.report, ""),
        ("Clusters", folder.clusters, ""),
        ("Names", folder.names, " (fill it in, then --names)"),
    ):
        console.print(f"{title:10}{escape(str(path))}{hint}")
