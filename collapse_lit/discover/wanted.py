"""Parse the requested number of clusters of each class, and the spaces to try."""

from collections.abc import Mapping
from typing import Any

import torch
import yaml

from collapse_lit.discover.samples import Samples
from collapse_lit.errors import UserError
from collapse_lit.measure.recovery.spaces import Space, spaces_to_try

Wanted = int | str | Mapping[str, int]


def clusters_asked(text: str) -> Any:
    """Parse ``auto``, a number or a mapping; class names are checked later.

    Class names stay text, because YAML would convert yes, 007 or 2024-01-01.

    Raises:
        UserError: The text is none of these, or it names a class twice.
    """
    right = f"--k {text}: give auto, a number, or a mapping such as '{{cat: 3}}'"
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        value = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise UserError(right) from error
    if not isinstance(value, dict):
        return _number(value)
    if node is not None and len(node.value) > len(value):
        raise UserError(f"--k {text}: a class occurs twice")
    if not all(isinstance(name, str) for name in value):
        raise UserError(right)
    return {name: _number(number) for name, number in value.items()}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def spaces_wanted(space: str | None, *, estimate: bool = False) -> tuple[Space, ...]:
    """The spaces that ``--space`` stands for.

    Args:
        space: the value of ``--space``.
        estimate: whether the number of clusters of any class must be estimated.

    Raises:
        UserError: The space is unknown, or it allows no estimate.
    """
    try:
        return spaces_to_try(space, estimate=estimate)
    except ValueError as error:
        raise UserError(f"--space: {error}") from error


def numbers_wanted(k: Wanted, samples: Samples) -> list[int | None]:
    """The requested number of clusters of each class, None to estimate it.

    Raises:
        UserError: A number is invalid or exceeds the size of its class, or a class is unknown.
    """
    names, sizes = samples.coarse_names, torch.bincount(samples.coarse).tolist()
    by_name = {str(name): number for name, number in k.items()} if isinstance(k, Mapping) else {}
    unknown = sorted(set(by_name) - set(names))
    if unknown:
        raise UserError(
            f"--k: unknown class {', '.join(unknown)}; the classes are {', '.join(names[:20])}"
            + (", …" if len(names) > 20 else "")
        )
    every = "auto" if isinstance(k, Mapping) else k
    return [
        _checked(by_name.get(name, every), name, size)
        for name, size in zip(names, sizes, strict=True)
    ]


def _checked(asked: int | str, name: str, size: int) -> int | None:
    """The requested number of clusters of a class of ``size`` samples; None for "auto"."""
    if asked == "auto":
        return None
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise UserError(
            f"--k: {asked!r} is not a number of clusters; give auto, a number, or a mapping such "
            f"as '{{cat: 3}}'"
        )
    if asked > size:
        raise UserError(
            f"--k: cannot make {asked} clusters of class {name}, which has {size} samples"
        )
    return asked
