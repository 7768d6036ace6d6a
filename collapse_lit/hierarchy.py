"""The hierarchy of fine and coarse classes, built from a rule, a dict or a file, and checked."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from collapse_lit.errors import UserError, did_you_mean

RULES = ("mod", "adjacent", "random", "identity", "cifar100", "parents")

# The 20 superclasses of CIFAR-100, in the order of its own coarse labels (Krizhevsky, 2009).
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """The map from F fine classes to C coarse classes.

    Attributes:
        fine_names: name of each fine class.
        coarse_names: name of each coarse class.
        fine_to_coarse: coarse class of each fine class, (F,) int64.
    """

    fine_names: tuple[str, ...]
    coarse_names: tuple[str, ...]
    fine_to_coarse: Tensor

    @property
    def num_fine(self) -> int:
        """Number of fine classes, F."""
        return len(self.fine_names)

    @property
    def num_coarse(self) -> int:
        """Number of coarse classes, C."""
        return len(self.coarse_names)

    @property
    def fine_per_coarse(self) -> tuple[int, ...]:
        """How many fine classes each coarse class has, (C,)."""
        return tuple(torch.bincount(self.fine_to_coarse, minlength=self.num_coarse).tolist())

    def coarse(self, fine: Tensor) -> Tensor:
        """Coarse labels of fine labels: the same shape and device, int64."""
        return self.fine_to_coarse.to(fine.device)[fine.long()]


def make_hierarchy(
    fine_names: Sequence[str],
    coarse: str | Path | Mapping[str, Sequence[Any]],
    num_coarse: int = 5,
    seed: int = 0,
    parents: Tensor | None = None,
) -> Hierarchy:
    """Group fine classes into coarse ones.

    Args:
        fine_names: names of the F fine classes.
        coarse: one of

            - ``"mod"``: fine class i goes to coarse class i mod ``num_coarse``
            - ``"adjacent"``: contiguous blocks of fine classes
            - ``"random"``: at random, sizes as equal as possible
            - ``"identity"``: every fine class is its own coarse class
            - ``"cifar100"``: CIFAR-100's own 20 superclasses
            - ``"parents"``: the original classes, after :func:`split_classes`
            - a dict ``{coarse name: [fine names]}``
            - the path of a .yaml file with such a dict, or a .csv file with columns ``fine,coarse``
        num_coarse: number of coarse classes for the first three rules.
        seed: seed of ``"random"``.
        parents: original class of each fine class, (F,), as returned by :func:`split_classes`.

    Raises:
        UserError: the groups do not hold every fine class exactly once, there are fewer than two
            groups, or the file cannot be read.
    """
    fine_names = tuple(fine_names)
    if len(fine_names) < 2:
        raise UserError(f"data.source: at least two classes are needed, got {len(fine_names)}")
    if isinstance(coarse, Mapping):
        return _from_groups(fine_names, coarse, "data.coarse")
    if str(coarse).endswith((".yaml", ".yml", ".csv")):
        return _from_groups(fine_names, _read_groups(Path(coarse)), f"data.coarse ({coarse})")
    if coarse == "cifar100":
        return _from_groups(fine_names, _cifar100_groups(fine_names), "data.coarse")
    return _from_rule(fine_names, str(coarse), num_coarse, seed, parents)


def split_classes(
    labels: Tensor, names: Sequence[str], n: int, seed: int = 0
) -> tuple[Tensor, tuple[str, ...], Tensor]:
    """Split every class at random into n sub-classes that differ by at most one sample in size.

    Args:
        labels: class of each sample, (N,) int64.
        names: names of the K classes.
        n: number of sub-classes of each class.
        seed: seed of the random split.

    Returns:
        labels (N,) int64 in 0…K·n-1, names (``"cat/0"``, ``"cat/1"``…) and parents (K·n,) int64,
        the original class of each sub-class.

    Raises:
        UserError: a class has fewer than n samples.
    """
    generator = torch.Generator().manual_seed(seed)
    fine = torch.empty_like(labels)
    for c, name in enumerate(names):
        members = (labels == c).nonzero().squeeze(1)  # (N_c,)
        if len(members) < n:
            raise UserError(f"data.split={n}: class {name!r} has only {len(members)} images")
        shuffled = members[torch.randperm(len(members), generator=generator)]
        fine[shuffled] = c * n + torch.arange(len(members)) % n
    return fine, *split_names(names, n)


def split_names(names: Sequence[str], n: int) -> tuple[tuple[str, ...], Tensor]:
    """Names and parents of the sub-classes that :func:`split_classes` makes."""
    fine_names = tuple(f"{name}/{i}" for name in names for i in range(n))
    return fine_names, torch.arange(len(names)).repeat_interleave(n)


def _from_rule(
    fine_names: tuple[str, ...], rule: str, num_coarse: int, seed: int, parents: Tensor | None
) -> Hierarchy:
    F = len(fine_names)
    fine = torch.arange(F)
    if rule in ("mod", "adjacent", "random") and not 2 <= num_coarse <= F:
        raise UserError(
            f"data.num_coarse={num_coarse} with data.coarse={rule!r}: "
            f"give a number from 2 to {F}, the number of fine classes"
        )
    if rule == "mod":
        fine_to_coarse = fine % num_coarse
    elif rule == "adjacent":
        fine_to_coarse = fine * num_coarse // F
    elif rule == "random":
        generator = torch.Generator().manual_seed(seed)
        fine_to_coarse = torch.empty_like(fine)
        fine_to_coarse[torch.randperm(F, generator=generator)] = fine % num_coarse
    elif rule == "identity":
        fine_to_coarse = fine
    elif rule == "parents":
        if parents is None:
            raise UserError(
                "data.coarse='parents' needs a random split: set data.split to 2 or more"
            )
        fine_to_coarse = parents
    else:
        raise UserError(
            f"data.coarse={rule!r} is unknown{did_you_mean(rule, RULES)}; give one of "
            f"{', '.join(RULES)}, a dict {{coarse name: [fine names]}}, or a .yaml or .csv file"
        )
    members: dict[int, list[str]] = {c: [] for c in range(int(fine_to_coarse.max()) + 1)}
    for name, c in zip(fine_names, fine_to_coarse.tolist(), strict=True):
        members[c].append(name)
    coarse_names = ["+".join(names) for names in members.values()]
    if rule == "parents":  # "cat/0" came from "cat"
        coarse_names = [names[0].rsplit("/", 1)[0] for names in members.values()]
    return Hierarchy(fine_names, tuple(coarse_names), fine_to_coarse)


def _from_groups(
    fine_names: tuple[str, ...], groups: Mapping[str, Sequence[Any]], where: str
) -> Hierarchy:
    if len(groups) < 2:
        raise UserError(f"{where}: needs at least two coarse classes, got {len(groups)}")
    coarse_of: dict[str, int] = {}
    for c, (coarse_name, members) in enumerate(groups.items()):
        if isinstance(members, str) or not isinstance(members, Sequence) or not members:
            raise UserError(
                f"{where}: coarse class {coarse_name!r} must list at least one fine class"
            )
        for name in map(str, members):  # YAML reads a class called 7 as a number
            if name not in fine_names:
                raise UserError(
                    f"{where}: {name!r} (in {coarse_name!r}) is not a class of this data set"
                    f"{did_you_mean(name, fine_names)}"
                )
            if name in coarse_of:
                raise UserError(f"{where}: class {name!r} is listed twice")
            coarse_of[name] = c
    missing = [name for name in fine_names if name not in coarse_of]
    if missing:
        raise UserError(f"{where}: these classes are in no coarse class: {', '.join(missing)}")
    fine_to_coarse = torch.tensor([coarse_of[name] for name in fine_names])
    return Hierarchy(fine_names, tuple(map(str, groups)), fine_to_coarse)


def _cifar100_groups(fine_names: tuple[str, ...]) -> dict[str, list[str]]:
    groups = {name: members.split() for name, members in CIFAR100_SUPERCLASSES.items()}
    if {name for members in groups.values() for name in members} != set(fine_names):
        raise UserError(
            "data.coarse='cifar100' needs the 100 class names of CIFAR-100; this data set has "
            f"{len(fine_names)} classes: {', '.join(fine_names[:3])}…"
        )
    return groups


def _read_groups(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.coarse: cannot read {path}: {error}") from error
    groups: dict[str, Any] = {}
    if path.suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        if not all(row.get("fine") and row.get("coarse") for row in rows):
            raise UserError(
                f"data.coarse: {path} must have the columns fine,coarse without empty cells"
            )
        for row in rows:
            groups.setdefault(row["coarse"].strip(), []).append(row["fine"].strip())
        return groups
    try:
        groups = yaml.load(text, Loader=yaml.BaseLoader)  # classes called no, 007 or null stay text
    except yaml.YAMLError as error:
        raise UserError(f"data.coarse: {path} is not valid YAML: {error}") from error
    if not isinstance(groups, dict):
        raise UserError(f"data.coarse: {path} must be a mapping {{coarse name: [fine names]}}")
    return groups
