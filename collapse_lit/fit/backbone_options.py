"""Drop options of a configured backbone when the command line names another backbone."""

from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.utilities import rank_zero_info

NAME, OPTIONS = "--model.backbone", "--model.backbone_args"


def leave_other_options(
    parser: ArgumentParser, arguments: Sequence[str], config: Namespace
) -> None:
    """Drop the ``backbone_args`` that configuration files give to another backbone.

    Every training command calls this function, because cells of ``grid`` and ``controls`` are
    command lines of ``fit``. Options on the command line itself are always kept.

    Args:
        parser: The parser of the arguments.
        arguments: The command line.
        config: The parsed configuration, changed in place.
    """
    others, named = _without_name(arguments)
    if not named or any(argument.startswith(OPTIONS) for argument in arguments):
        return
    before = parser.parse_args(others).model
    if before.backbone != config.model.backbone and before.backbone_args:
        config.model.backbone_args = None
        rank_zero_info(
            f"model.backbone_args: the configuration's {before.backbone_args} are for "
            f"{before.backbone}, so {config.model.backbone} ignores them; {OPTIONS} gives it "
            "its own"
        )


def _without_name(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The command line without the backbone's name, and whether it names one."""
    others: list[str] = []
    is_name = False
    named = False
    for argument in arguments:
        if is_name:
            is_name = False
        elif argument == NAME or argument.startswith(f"{NAME}="):
            named, is_name = True, argument == NAME
        else:
            others.append(argument)
    return others, named
