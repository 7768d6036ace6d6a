"""The options of ``collapse-lit discover`` and ``collapse-lit predict``, checked while parsing."""

import argparse
from pathlib import Path

from collapse_lit.discover.source_options import LARGEST_SEED, Parser, add_source, whole_number

EXPORTS = ("fiftyone", "parquet", "projector")

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


def discover_parser() -> Parser:
    """The options of ``collapse-lit discover``."""
    parser = _parser("discover", DISCOVER)
    add_source(parser, labelled=True)
    what = parser.add_argument_group("what to look for")
    what.add_argument(
        "--k",
        default="auto",
        help="clusters in each class: auto (estimated; 1 means no sub-structure), a number for "
        "all, or '{cat: 3, dog: 2}' for some by name and auto for the rest (default: auto)",
    )
    what.add_argument(
        "--space",
        default="auto",
        help="coordinates and clusterer: auto (chosen for each class without labels; the "
        "default), or one for all classes, such as white32/gmm or raw/kmeans",
    )
    what.add_argument(
        "--seed",
        type=whole_number(0, LARGEST_SEED),
        default=0,
        help="seed of all random starts (default: 0)",
    )
    again = parser.add_argument_group("samples: clusters of an earlier discovery")
    again.add_argument(
        "--within",
        type=Path,
        metavar="DIR",
        help="folder of that discovery; its other clusters keep their samples and names",
    )
    again.add_argument(
        "--cluster",
        type=whole_number(0, LARGEST_SEED),
        nargs="+",
        metavar="N",
        help="numbers of the clusters to divide",
    )
    out = parser.add_argument_group("output")
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
        help="DIR/names.csv with names filled in: fit a probe on the named clusters, write "
        "DIR/probe.npz",
    )
    out.add_argument(
        "--export",
        nargs="+",
        choices=EXPORTS,
        metavar="FORMAT",
        help="export the discovery in DIR as parquet (DIR/clusters.parquet, with features), "
        "projector (DIR/projector, for TensorBoard) or fiftyone (DIR/fiftyone, for images)",
    )
    out.add_argument(
        "--suggest",
        type=Path,
        metavar="CLIP",
        help="folder of a CLIP-like model, which fills the column suggestion of DIR/names.csv",
    )
    out.add_argument(
        "--vocabulary",
        type=Path,
        metavar="TXT",
        help="for --suggest: text file with one word per line",
    )
    return parser


def predict_parser() -> Parser:
    """The options of ``collapse-lit predict``."""
    parser = _parser("predict", PREDICT)
    parser.add_argument(
        "--probe", type=Path, required=True, metavar="NPZ", help="probe written by discover --names"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="CSV",
        help="file to write, with the columns path or index, name, …",
    )
    add_source(parser, labelled=False)
    return parser


def _parser(command: str, description: str) -> Parser:
    return Parser(
        f"collapse-lit {command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
