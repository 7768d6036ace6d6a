"""Check whether a request may continue in a run directory that already has results."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from collapse_lit.errors import UserError
from collapse_lit.tracking.run_directory import RunDirectory

# The options that must not change when a run is resumed, or it becomes another experiment.
SAME_EXPERIMENT = ("seed_everything", "data", "model")


def check_nothing_measured(run: RunDirectory) -> None:
    """Check that training from the first epoch would not replace a history.

    Raises:
        UserError: The directory has a history but no checkpoint.
    """
    measured = len(run.read_history())
    if measured:
        raise UserError(
            f"run_dir: {run.path} has {measured} measured epochs but no checkpoint to continue "
            f"from. Choose another run_dir, or move {run.history} away to start again"
        )


def check_same_experiment(
    run: RunDirectory, resolved: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Check that the request continues the experiment in a run directory.

    Options that are newer than the run count with their default.

    Raises:
        UserError: There is a checkpoint or a measured epoch, and its data, model or seed differ or
            are unknown.
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
            f"run_dir: {run.path} holds a run with other options ({'; '.join(changed)}). Choose "
            "another run_dir, or restore these options to continue that run"
        )


def _flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
