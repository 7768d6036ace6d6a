"""Whether what is asked for may go on in a run directory that holds something already."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from collapse_lit.errors import UserError
from collapse_lit.tracking.run_directory import RunDirectory

# What a resumed run must share with its first start, or it would be another experiment.
SAME_EXPERIMENT = ("seed_everything", "data", "model")


def check_nothing_measured(run: RunDirectory) -> None:
    """See that training from the first epoch on would not replace a history.

    Raises:
        UserError: It would: the run's checkpoints are gone, or it never had any of its own.
    """
    measured = len(run.read_history())
    if measured:
        raise UserError(
            f"run_dir: {run.path} holds {measured} measured epochs and no checkpoint to go on "
            f"from. Choose another run_dir, or move {run.history} away to train anew"
        )


def check_same_experiment(
    run: RunDirectory, resolved: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """See that what was started in a run directory is what is asked to go on in it.

    An option that came into being after the run had started has its default there.

    Raises:
        UserError: There is a checkpoint or a measured epoch, and data, model or seed are not those
            that it was made with, or not to be known.
    """
    started = run.last_checkpoint.exists() or bool(run.read_history())
    if not started or not run.config.exists():
        return
    unset = dict(_flat(defaults))
    try:
        before = unset | dict(_flat(yaml.safe_load(run.config.read_text())))
    except (yaml.YAMLError, AttributeError) as error:
        raise UserError(f"run_dir: {run.config} cannot be read ({error})") from error
    now = unset | dict(_flat(resolved))
    changed = [
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if key.split(".")[0] in SAME_EXPERIMENT and before.get(key) != now.get(key)
    ]
    if changed:
        raise UserError(
            f"run_dir: {run.path} holds a run that was started differently ({'; '.join(changed)}). "
            "Choose another run_dir, or restore these keys to continue that run"
        )


def _flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
