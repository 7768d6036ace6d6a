"""Sources of images and fine labels: by name, or a user's function."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from collapse_lit.data.digits import DIGITS, load_handwritten_digits
from collapse_lit.data.gaussian import GaussianMixture, draw_mixture, mixture_names
from collapse_lit.data.image_files import class_folders, class_names
from collapse_lit.data.imagefolder import load_imagefolder
from collapse_lit.data.labelled import LabelledImages, check_labelled
from collapse_lit.data.torchvision_sets import TORCHVISION_SETS, load_torchvision
from collapse_lit.errors import UserError, did_you_mean
from collapse_lit.own_code import imported

Names = tuple[str, ...]


@dataclass(frozen=True)
class SourceOptions:
    """Options that a source may use.

    Attributes:
        root: Folder of the data files.
        image_size: Side in pixels to which ``imagefolder`` resizes and crops.
        gaussian: The mixture that ``gaussian`` draws.
        num_coarse: Number of coarse centres of that mixture.
        seed: Seed of that mixture.
        check: Whether to look for changed files, or to rely on another rank that does.
    """

    root: Path = Path("data")
    image_size: int | None = None
    gaussian: GaussianMixture = field(default_factory=GaussianMixture)
    num_coarse: int = 5
    seed: int = 0
    check: bool = True


@dataclass(frozen=True)
class Source:
    """How to load a data set, and its fine classes if they are known without loading.

    With known names, mistakes in the label map are found before images are decoded.
    """

    load: Callable[[SourceOptions], LabelledImages]
    names: Callable[[SourceOptions], Names | None] = lambda _: None


def _folder_names(options: SourceOptions) -> Names | None:
    folder = options.root / "train"
    return tuple(class_names(class_folders(folder))) if folder.is_dir() else None


def _torchvision(name: str) -> Source:
    return Source(lambda options: load_torchvision(name, options.root))


SOURCES: dict[str, Source] = {
    "digits": Source(lambda _: load_handwritten_digits(), lambda _: DIGITS),
    **{name: _torchvision(name) for name in TORCHVISION_SETS},
    "imagefolder": Source(
        lambda options: load_imagefolder(options.root, options.image_size, check=options.check),
        _folder_names,
    ),
    "gaussian": Source(
        lambda options: draw_mixture(options.gaussian, options.num_coarse, options.seed),
        lambda options: mixture_names(options.gaussian),
    ),
}


def find_source(name: str) -> Source:
    """The source of this name: one of :data:`SOURCES`, or ``package.function``.

    A user's function takes the root folder and returns :class:`LabelledImages`.

    Raises:
        UserError: The source is unknown, or it cannot be imported.
    """
    if name in SOURCES:
        return SOURCES[name]
    if "." in name:
        load = imported(name, "data.source")
        if not callable(load):
            raise UserError(f"data.source: {name!r} is not a function")
        return Source(lambda options: check_labelled(load(options.root), name))
    near = did_you_mean(name, SOURCES)
    raise UserError(
        f"data.source={name!r} is unknown{near}; give one of {', '.join(SOURCES)}, or your own as "
        "package.function"
    )


def load_source(source: str, options: SourceOptions) -> LabelledImages:
    """Load a data set with its fine labels.

    Raises:
        UserError: The source is unknown, or its files are missing or broken.
    """
    if options.image_size is not None and source != "imagefolder":
        raise UserError(
            f"data.image_size works only with data.source=imagefolder, not with {source!r}"
        )
    return find_source(source).load(options)
