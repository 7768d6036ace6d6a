"""Where images and fine labels come from: a source by its name."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from collapse_lit.data.imagefolder import class_folders, load_imagefolder
from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.data.torchvision_sets import TORCHVISION_SETS, load_torchvision
from collapse_lit.errors import UserError

SOURCES = ("digits", *TORCHVISION_SETS, "imagefolder", "gaussian")

DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class GaussianMixture:
    """A planted mixture with known fine classes: what ``source: gaussian`` draws.

    All noise has standard deviation 1 in each direction. Fine classes i and j share a coarse
    centre when i = j mod ``num_coarse``, which is what ``coarse: mod`` then merges.

    Args:
        num_fine: number of fine classes.
        dim: dimension of the vectors, at least num_fine + num_coarse.
        per_class: training vectors of each fine class; the test set has half as many.
        fine_distance: distance between the centres of two fine classes of one coarse class, in
            standard deviations of the noise. Coarse centres are four times as far apart.
    """

    num_fine: int = 10
    dim: int = 32
    per_class: int = 500
    fine_distance: float = 4.0


def load_source(
    source: str,
    root: Path,
    image_size: int | None = None,
    gaussian: GaussianMixture | None = None,
    num_coarse: int = 5,
    seed: int = 0,
) -> LabelledImages:
    """Load a data set with its fine labels.

    Args:
        source: one of :data:`SOURCES`.
        root: folder of the files, for torchvision's data sets and ``imagefolder``.
        image_size: side in pixels to which ``imagefolder`` resizes and crops.
        gaussian: the mixture that ``gaussian`` draws.
        num_coarse: number of coarse centres of that mixture.
        seed: seed of that mixture.

    Raises:
        UserError: if the source is unknown, or its files are missing or broken.
    """
    if image_size is not None and source != "imagefolder":
        raise UserError(f"data.image_size is for data.source=imagefolder only, not for {source!r}")
    if source == "digits":
        return load_handwritten_digits()
    if source in TORCHVISION_SETS:
        return load_torchvision(source, root)
    if source == "imagefolder":
        return load_imagefolder(root, image_size)
    if source == "gaussian":
        return draw_mixture(gaussian or GaussianMixture(), num_coarse, seed)
    by_lower_case = {name.lower(): name for name in SOURCES}
    close = difflib.get_close_matches(source.lower(), by_lower_case, n=1)
    hint = f"; did you mean {by_lower_case[close[0]]!r}?" if close else ""
    raise UserError(
        f"data.source={source!r} is not known{hint}; right would be one of {', '.join(SOURCES)}"
    )


def class_names(
    source: str, root: Path, gaussian: GaussianMixture | None = None
) -> tuple[str, ...] | None:
    """Names of the fine classes where they are known without loading, so that a label map can be
    checked before. None for torchvision's data sets, whose files have them.
    """
    if source == "digits":
        return DIGITS
    if source == "gaussian":
        return mixture_names(gaussian or GaussianMixture())
    if source == "imagefolder" and (root / "train").is_dir():
        return tuple(folder.name for folder in class_folders(root / "train"))
    return None


def load_handwritten_digits() -> LabelledImages:
    """The 1,797 handwritten digits inside scikit-learn, 8×8: 1,297 to train on, 500 to test."""
    digits = load_digits()
    images = torch.from_numpy(digits.images)[:, None]  # (1797, 1, 8, 8), values 0…16
    images = (images * 255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(), test_size=500, stratify=labels.numpy(), random_state=0
    )
    return LabelledImages(
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        fine_names=DIGITS,
    )


def draw_mixture(mixture: GaussianMixture, num_coarse: int, seed: int) -> LabelledImages:
    """Draw a planted Gaussian mixture; vectors (N, dim) float32, mixed classes in random order.

    Raises:
        UserError: if the dimension is too small for centres at exact distances.
    """
    if mixture.dim < mixture.num_fine + num_coarse:
        raise UserError(
            f"data.gaussian.dim={mixture.dim} is too small: {num_coarse} coarse and "
            f"{mixture.num_fine} fine centres need at least {mixture.num_fine + num_coarse}"
        )
    generator = torch.Generator().manual_seed(seed)
    centres = mixture_centres(mixture, num_coarse, generator)

    def draw(per_class: int) -> Split:
        labels = torch.arange(mixture.num_fine).repeat_interleave(per_class)
        labels = labels[torch.randperm(len(labels), generator=generator)]
        noise = torch.randn(len(labels), mixture.dim, generator=generator)
        return Split(centres[labels] + noise, labels)

    train = draw(mixture.per_class)
    return LabelledImages(train, draw(max(1, mixture.per_class // 2)), mixture_names(mixture))


def mixture_names(mixture: GaussianMixture) -> tuple[str, ...]:
    """Names of its fine classes."""
    return tuple(f"class{i}" for i in range(mixture.num_fine))


def mixture_centres(
    mixture: GaussianMixture, num_coarse: int, generator: torch.Generator
) -> Tensor:
    """Centres of the fine classes, (F, dim): along orthogonal directions, so distances are exact.

    Two points at a/√2 along two orthogonal directions lie a apart.
    """
    noise = torch.randn(mixture.dim, mixture.dim, generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(noise).Q  # (dim, dim), orthonormal rows
    fine = torch.arange(mixture.num_fine)
    step = mixture.fine_distance / 2**0.5
    coarse_part = 4 * step * directions[fine % num_coarse]
    fine_part = step * directions[num_coarse + fine]
    return (coarse_part + fine_part).float()
