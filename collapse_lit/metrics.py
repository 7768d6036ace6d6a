"""All that is measured, one row each: its key, its names, and where it is shown.

Progress line, terminal table, figures, pages, W&B's axes, the tables of controls and grids, and
docs/metrics.md come from here, each in this order. A measure of collapse by its name alone stands
for the same of every split: ``collapse/NAME`` (training features, coarse labels),
``collapse_test/NAME`` and ``collapse_fine/NAME``.
"""

from typing import Literal

from collapse_lit.metric_row import Metric, Place, of_collapse, share

# The keys that code asks for by name.
LOSS = "train/loss"
TRAIN_ACCURACY, TEST_ACCURACY = "train/acc_coarse", "test/acc_coarse"
NC1, NC1_FINE = "collapse/nc1", "collapse_fine/nc1"
RAW, FOUND = "recovery/acc_raw", "recovery/acc"
HEADLINE, CEILING, FLOOR = "recovery/clp_test", "recovery/probe_test", "recovery/floor"
INSIDE, CHANCE = "recovery/clp_test_inside", "recovery/chance"
SEPARATION, STABILITY = "recovery/separation", "recovery/stability"
SILHOUETTE, SPACE = "recovery/silhouette", "recovery/space"
DISTINCT = "recovery/distinct"

# Collapse is drawn in these panels, each on a logarithmic axis or a linear one.
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
        "The same on the test set",
        short="test acc",
        places=("progress", "summary", "controls", "grid", "grid in terminal"),
    ),
    of_collapse(
        "nc1",
        "Variability within classes relative to that between them: tr(Sw Sb⁺) / C",
        panel=VARIABILITY,
        short="NC1",
        places=("progress", "summary", "controls", "grid", "grid in terminal"),
    ),
    of_collapse("nc1_trace", "The same as a quotient of traces: tr Sw / tr Sb", panel=VARIABILITY),
    of_collapse("cdnv", "The same for each pair of classes, averaged", panel=VARIABILITY),
    of_collapse(
        "directional_cdnv",
        "The same along the line between two class means alone: what hurts a linear probe",
        panel=VARIABILITY,
    ),
    of_collapse("vci", "Variability within classes relative to all variability, from 0 to 1"),
    of_collapse("nc1_rank", "Directions between classes that NC1 was taken in", better=""),
    of_collapse("nc1_singular_ratio", "The smallest of them, relative to the largest", better=""),
    of_collapse("nc2_equinorm", "Spread of the norms of the class means", panel=EQUALITY),
    of_collapse("nc2_equiangular", "Distance of their angles from equal ones", panel=EQUALITY),
    of_collapse("nc2_etf", "Distance of the class means from a simplex ETF", panel=EQUALITY),
    of_collapse("nc3", "Distance of the head's weights from the class means", panel=DUALITY),
    of_collapse(
        "nc4",
        "Share of samples for which the head and the nearest class mean disagree",
        panel=DECISIONS,
    ),
    of_collapse("rankme", "Directions that the features fill (RankMe)", panel=RANK, better=""),
    Metric(
        NC1_FINE,
        "NC1, fine labels",
        "`nc1` onto the fine classes, which the network was never told",
        better="low",
        places=("summary",),
        panel=VARIABILITY,
    ),
    share(
        "collapse_fine/explained",
        "explained by the fine classes",
        "Share of the scatter within coarse classes that lies between their fine ones",
    ),
    Metric(
        "collapse_fine/directional_cdnv_siblings",
        "directional CDNV of siblings",
        "`directional_cdnv` over pairs of fine classes of one coarse class alone",
        better="low",
    ),
    share(
        RAW,
        "k-means on raw features, train",
        "Plain Faiss k-means on the raw training features: the obvious baseline",
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
        "The headline's floor: random clusters, through the same probe and matching; mean of three "
        "draws",
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
        "The headline's ceiling: the same probe trained on the true fine labels",
        short="ceiling, test",
        places=("summary", "controls", "grid", "grid in terminal", "recovery"),
    ),
    share(
        INSIDE,
        "recovered inside the coarse class",
        "The headline among the test images with the right coarse class",
        short="inside, test",
        places=("controls",),
    ),
    Metric(
        CHANCE,
        "even guess inside the coarse class",
        "Score of an even guess among these images",
        unit="share",
    ),
    share(
        "recovery/acc_macro",
        "recovered, mean over fine classes",
        "`recovery/acc`, each fine class counted alike",
    ),
    Metric(
        "recovery/nmi",
        "NMI",
        "Normalised mutual information, clusters and fine labels",
        better="high",
    ),
    Metric("recovery/ari", "ARI", "Adjusted Rand index, the same", better="high"),
    Metric(
        SEPARATION,
        "separation (label-free)",
        "How clearly the clusters lie apart; with the stability it chooses space and epoch",
        short="separation",
        better="high",
        places=("controls",),
    ),
    share(
        STABILITY,
        "stability (label-free)",
        "How far clusters found in two halves of the data agree",
        short="stability",
        places=("progress", "summary", "controls"),
    ),
    Metric(
        SILHOUETTE,
        "silhouette (label-free)",
        "Silhouette of the clusters in the plane that is drawn",
        better="high",
    ),
    share(
        DISTINCT,
        "distinct (label-free)",
        "Coarse classes with a valley of density around each cluster; the others may be one shape "
        "cut in pieces",
        short="distinct",
        places=("summary",),
    ),
    Metric(SPACE, "space", "The space chosen for each coarse class; in `history.jsonl`"),
    share(
        "recovery/acc_of_coarse",
        "recovered by coarse class",
        "`recovery/acc` inside each coarse class; in `history.jsonl`",
    ),
)
BY_KEY = {metric.key: metric for metric in METRICS}
MEASURED = ("collapse", "recovery")  # what a measured epoch has keys of


def shown_in(place: Place) -> tuple[Metric, ...]:
    """The metrics that are shown in a place, in order."""
    return tuple(metric for metric in METRICS if place in metric.places)


def drawn_in(panel: str) -> tuple[Metric, ...]:
    """The metrics of a panel, in order."""
    return tuple(metric for metric in METRICS if metric.panel == panel)


def columns(place: Place) -> dict[str, str]:
    """Key and name of the metrics over the columns of a table."""
    return {metric.key: metric.column for metric in shown_in(place)}


def is_measured(key: str) -> bool:
    """Whether a key is a monitor's, and so tells that an epoch was measured."""
    return key.startswith(MEASURED)


def prefixes() -> tuple[str, ...]:
    """What stands before the slash of the keys; all kinds of collapse in one."""
    found = (metric.key.split("/")[0].split("_")[0] for metric in METRICS)
    return tuple(dict.fromkeys(found))
