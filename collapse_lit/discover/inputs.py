"""The command's input: features in files, a run, or a network with a folder of images."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from collapse_lit.discover.samples import Samples
from collapse_lit.errors import UserError

if TYPE_CHECKING:
    from collapse_lit.discover.builders import NetworkOptions

# Options of each kind of input; the first option selects the kind.
OPTIONS_OF = {
    "features": ("labels", "predictions"),
    "within": ("cluster",),
    "run": ("layer", "images", "checkpoint", "predictions"),
    "model": (
        *("images", "weights", "layer", "image_size", "mean", "std", "model_args", "pool"),
        "predictions",
    ),
}


@dataclass(frozen=True)
class Input:
    """The command-line options about samples; None for options that were not given."""

    features: Path | None = None
    labels: Path | None = None
    run: Path | None = None
    model: str | None = None
    images: Path | None = None
    weights: str | None = None
    layer: str | None = None
    image_size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    model_args: dict[str, Any] | None = None
    pool: str | None = None
    checkpoint: str | None = None
    predictions: Path | None = None
    within: Path | None = None
    cluster: list[int] | None = None

    def check(self) -> None:
        """Check that the options select exactly one kind of :data:`OPTIONS_OF`.

        Raises:
            UserError: No kind or several kinds are selected, or an option belongs to another kind.
        """
        named = [kind for kind in OPTIONS_OF if getattr(self, kind) is not None]
        if len(named) != 1:
            raise UserError(
                "give the samples in exactly one way: --features F.npy --labels L.csv, "
                "--run runs/NAME, or --model NAME --weights FILE --images FOLDER"
                + (f" (not {' and '.join('--' + kind for kind in named)} at once)" if named else "")
            )
        kind = named[0]
        for option in fields(self):
            if getattr(self, option.name) is not None and option.name not in (
                kind,
                *OPTIONS_OF[kind],
            ):
                raise UserError(f"--{option.name} cannot be combined with --{kind}")
        if kind == "within" and not self.cluster:
            raise UserError("--within: add --cluster with the numbers of the clusters to divide")
        if kind == "model" and self.images is None:
            raise UserError("--model: add --images FOLDER, with images in FOLDER/CLASS/")


def load_samples(source: Input) -> Samples:
    """Load the labelled samples; for a run, its training set or ``images``.

    Raises:
        UserError: The samples cannot be loaded; the message names the file or option.
    """
    samples = _read_samples(source)
    if source.predictions is None:
        return samples
    from collapse_lit.discover.predictions import with_predictions

    return with_predictions(samples, source.predictions)


def _read_samples(source: Input) -> Samples:
    source.check()  # modules are imported only when needed: Lightning takes seconds
    if source.features is not None:
        from collapse_lit.discover.tables import table_samples

        return table_samples(source.features, source.labels)
    if source.within is not None:
        from collapse_lit.discover.within import within_samples

        return within_samples(source.within, source.cluster or ())
    if source.run is not None:
        from collapse_lit.discover.runs import TrainedRun

        run = TrainedRun(source.run, source.layer, source.checkpoint)
        return run.own_samples() if source.images is None else run.samples_of(source.images)
    from collapse_lit.discover.networks import network_samples

    assert source.images is not None
    return network_samples(_network(source), source.images)


def load_unlabelled(source: Input) -> tuple[Tensor, tuple[str, ...] | None]:
    """Features (N, d) of new samples and their paths, if they have paths.

    For a run, these are its test set, unless ``images`` are given.

    Raises:
        UserError: As :func:`load_samples`.
    """
    source.check()
    if source.features is not None:
        from collapse_lit.discover.tables import read_features

        return read_features(source.features)
    if source.run is not None:
        from collapse_lit.discover.runs import TrainedRun

        run = TrainedRun(source.run, source.layer, source.checkpoint, split="test")
        if source.images is not None:
            return run.features_of(source.images)
        samples = run.own_samples()
        return samples.features, samples.paths
    from collapse_lit.discover.networks import folder_features

    assert source.images is not None
    return folder_features(_network(source), source.images)


def _network(source: Input) -> "NetworkOptions":
    """The options that describe a network, without its images."""
    from collapse_lit.discover.builders import NetworkOptions

    return NetworkOptions(
        **{field.name: getattr(source, field.name) for field in fields(NetworkOptions)}
    )
