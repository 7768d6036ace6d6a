"""The catalogue of metrics: one row each with key, names and where it is shown.

The progress line, all tables, figures and pages, W&B's axes and docs/metrics.md use this catalogue
and its order. A row for ``collapse/NAME`` (training features, coarse labels) also stands for
``collapse_test/NAME`` and ``collapse_fine/NAME``. Rows of further layers are in layer_metrics.py.
"""

from typing import Literal

from collapse_lit.layer_metrics import OF_LAYERS
from collapse_lit.metric_row import Metric, Place, of_collapse, share

# Keys that code refers to by name.
LOSS = "train/loss"
TRAIN_ACCURACY, TEST_ACCURACY = "train/acc_coarse", "test/acc_coarse"
NC1, NC1_FINE = "collapse/nc1", "collapse_fine/nc1"
RAW, FOUND = "recovery/acc_raw", "recovery/acc"
HEADLINE, CEILING, FLOOR = "recovery/clp_test", "recovery/probe_test", "recovery/floor"
INSIDE, CHANCE = "recovery/clp_test_inside", "recovery/chance"
SEPARATION, STABILITY = "recovery/separation", "recovery/stability"
SILHOUETTE, SPACE = "recovery/silhouette", "recovery/space"
DISTINCT = "recovery/distinct"

# Panels of the collapse figure, each with a logarithmic or a linear axis.
VARIABILITY, EQUALITY = "NC1: within-class variability", "NC2: equal norms, equal angles"
DUALITY, DECISIONS = "NC3: head against class means", "NC4: not the nearest class mean"
RANK = "Effective rank"
PANELS: dict[str, Literal["log", "linear"]] = {
    VARIABILITY: "log",
    EQUALITY: "log",
    DUALITY: "log",
    DECISIONS: "linear",
    RANK: "linear",
}

METRICS: tuple[Metric, ...] = (
    Metric(
        LOSS,
        "training loss",
        "Cross-entropy on the coarse labels, mean over the epoch",
        short="loss",
        better="low",
        places=("progress",),
    ),
    share(
        TRAIN_ACCURACY,
        "coarse accuracy, train",
        "Coarse accuracy on clean training images, in eval mode",
        short="train acc",
        places=("progress", "summary"),
    ),
    share(
        TEST_ACCURACY,
        "coarse accuracy, test",
        "Coarse accuracy on the test set, in eval mode",
        short="test acc",
        places=("progress", "summary", "controls", "grid", "grid in terminal"),
    ),
    of_collapse(
        "nc1",
        "Within-class scatter relative to between-class scatter: tr(Sw Sb⁺) / C",
        panel=VARIABILITY,
        short="NC1",
        places=("progress", "summary", "controls", "grid", "grid in terminal"),
    ),
    of_collapse("nc1_trace", "NC1 as a quotient of traces: tr Sw / tr Sb", panel=VARIABILITY),
    of_collapse(
        "cdnv", "Class-distance normalised variance, mean over pairs of classes", panel=VARIABILITY
    ),
    of_collapse(
        "directional_cdnv",
        "CDNV along the line between two class means: the part that limits a linear probe",
        panel=VARIABILITY,
    ),
    of_collapse("vci", "Within-class share of the total variability, from 0 to 1"),
    of_collapse("nc1_rank", "Rank of the between-class scatter used for NC1", better=""),
    of_collapse(
        "nc1_singular_ratio",
        "Smallest singular value of this scatter relative to the largest",
        better="",
    ),
    of_collapse("nc2_equinorm", "Relative spread of the norms of the class means", panel=EQUALITY),
    of_collapse(
        "nc2_equiangular",
        "Deviation of the angles between class means from equal angles",
        panel=EQUALITY,
    ),
    of_collapse("nc2_etf", "Distance of the class means from a simplex ETF", panel=EQUALITY),
    of_collapse("nc3", "Distance of the head's weights from the class means", panel=DUALITY),
    of_collapse(
        "nc4",
        "Share of samples for which the head and the nearest class mean disagree",
        panel=DECISIONS,
    ),
    of_collapse("rankme", "Effective rank of the features (RankMe)", panel=RANK, better=""),
    Metric(
        NC1_FINE,
        "NC1, fine labels",
        "`nc1` onto the fine classes, which the network never sees",
        better="low",
        places=("summary",),
        panel=VARIABILITY,
    ),
    share(
        "collapse_fine/explained",
        "explained by the fine classes",
        "Share of the within-coarse-class scatter that lies between fine classes",
    ),
    Metric(
        "collapse_fine/directional_cdnv_siblings",
        "directional CDNV of siblings",
        "`directional_cdnv` over pairs of fine classes of the same coarse class",
        better="low",
    ),
    share(
        RAW,
        "k-means on raw features, train",
        "Baseline: plain Faiss k-means on the raw training features",
        short="raw, train",
        places=("summary", "controls", "grid", "recovery"),
    ),
    share(
        FOUND,
        "recovered fine classes, train",
        "Share of training images whose cluster is matched to their fine class",
        short="recovered, train",
        places=("progress", "summary", "controls", "grid", "recovery"),
    ),
    share(
        FLOOR,
        "floor: random clusters, test",
        "Floor of the headline: random clusters, same probe and matching, mean of three draws",
        short="floor, test",
        places=("summary", "controls", "grid", "recovery"),
    ),
    Metric(
        "recovery/floor_std",
        "floor, standard deviation",
        "Standard deviation of the floor over its draws",
        unit="share",
    ),
    share(
        HEADLINE,
        "recovered fine classes, test",
        "**The headline**: a linear probe trained on clusters, scored on the test set's fine "
        "labels",
        short="recovered, test",
        places=("progress", "summary", "controls", "grid", "grid in terminal", "recovery"),
    ),
    share(
        CEILING,
        "ceiling: probe on true fine labels, test",
        "Ceiling of the headline: the same probe trained on the true fine labels",
        short="ceiling, test",
        places=("summary", "controls", "grid", "grid in terminal", "recovery"),
    ),
    share(
        INSIDE,
        "recovered inside the coarse class",
        "The headline on the test images whose coarse class the probe gets right",
        short="inside, test",
        places=("controls",),
    ),
    Metric(
        CHANCE,
        "even guess inside the coarse class",
        "Accuracy of a uniform guess on these images",
        unit="share",
    ),
    share(
        "recovery/acc_macro",
        "recovered, mean over fine classes",
        "`recovery/acc` averaged over fine classes",
    ),
    Metric(
        "recovery/nmi",
        "NMI",
        "Normalised mutual information of clusters and fine labels",
        better="high",
    ),
    Metric("recovery/ari", "ARI", "Adjusted Rand index of clusters and fine labels", better="high"),
    Metric(
        SEPARATION,
        "separation (label-free)",
        "How far the clusters lie apart; chooses space and epoch, together with the stability",
        short="separation",
        better="high",
        places=("controls",),
    ),
    share(
        STABILITY,
        "stability (label-free)",
        "Agreement of the clusters found in two halves of the data",
        short="stability",
        places=("progress", "summary", "controls"),
    ),
    Metric(
        SILHOUETTE,
        "silhouette (label-free)",
        "Mean silhouette of the clusters in the plotted plane",
        better="high",
    ),
    share(
        DISTINCT,
        "distinct (label-free)",
        "Share of coarse classes with a valley of density around each cluster; without one, the "
        "clusters may be a continuum cut into parts",
        short="distinct",
        places=("summary",),
    ),
    Metric(SPACE, "space", "The space chosen for each coarse class; in `history.jsonl`"),
    share(
        "recovery/acc_of_coarse",
        "recovered by coarse class",
        "`recovery/acc` inside each coarse class; in `history.jsonl`",
    ),
    *OF_LAYERS,
)
BY_KEY = {metric.key: metric for metric in METRICS}
MEASURED = ("collapse", "recovery")  # prefixes of the keys that a measured epoch has


def shown_in(place: Place) -> tuple[Metric, ...]:
    """The metrics shown in a place, in order."""
    return tuple(metric for metric in METRICS if place in metric.places)


def drawn_in(panel: str) -> tuple[Metric, ...]:
    """The metrics of a panel, in order."""
    return tuple(metric for metric in METRICS if metric.panel == panel)


def columns(place: Place) -> dict[str, str]:
    """Key and column header of each metric in a table."""
    return {metric.key: metric.column for metric in shown_in(place)}


def is_measured(key: str) -> bool:
    """Whether a key comes from a monitor, which means that the epoch was measured."""
    return key.startswith(MEASURED)


def prefixes() -> tuple[str, ...]:
    """The parts of the keys before the slash; all kinds of collapse count as one."""
    found = (metric.key.split("/")[0].split("_")[0] for metric in METRICS)
    return tuple(dict.fromkeys(found))
