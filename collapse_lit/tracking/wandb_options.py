"""What W&B is started with: our options, then its environment and settings files, then ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

PROJECT = "collapse-lit"
# W&B's two older names for modes.
SYNONYMS = {"dryrun": "offline", "run": "online"}


@dataclass(frozen=True)
class WandbOptions:
    """Options of Weights & Biases. An option that is null is left to W&B's environment variable.

    Args:
        mode: auto: as WANDB_MODE says, else online where W&B finds a key, else offline. Never asks.
        project: W&B project; null: WANDB_PROJECT, else collapse-lit.
        entity: Team or user that the run belongs to; null: WANDB_ENTITY, else the key's own.
        name: The run's name; null: WANDB_NAME, else the name of run_dir.
        group: Runs of one group are shown together; null: WANDB_RUN_GROUP.
        tags: Words to find runs by; null: WANDB_TAGS.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str | None = None
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: Sequence[str] | None = None


def init_arguments(options: WandbOptions, run_name: str) -> dict[str, Any]:
    """Arguments of ``wandb.init``; None where W&B's environment or settings files decide.

    The order is the same for all of them: an explicit option, W&B's environment variable, W&B's
    settings files, the default of collapse-lit.

    Args:
        options: What was asked for.
        run_name: The run's name where nobody gives one.

    Raises:
        Exception: What W&B raises for an environment that it cannot read.
    """
    import wandb

    found = wandb.setup().settings  # the environment, and what `wandb login` and its like wrote
    return {
        "mode": _mode(options.mode, found),
        "project": options.project or (None if found.project else PROJECT),
        "entity": options.entity,
        "name": options.name or (None if found.run_name else run_name),
        "group": options.group,
        "tags": None if options.tags is None else list(options.tags),
    }


def _mode(asked: str, found: Any) -> str:
    if asked != "auto":
        return asked
    if "mode" in found.model_fields_set:  # said by someone, and not W&B's own default
        return SYNONYMS.get(found.mode, found.mode)
    return "online" if has_key() else "offline"


def has_key() -> bool:
    """Whether W&B has credentials for the server that it would talk to; it is never asked for one.

    W&B looks in its environment, its settings files and .netrc, under the host that is its default.
    Its public ``wandb.login`` does the same, but it also writes settings files and asks the server,
    and in offline mode it says no. So it is only for a version in which the first way is gone.
    """
    import wandb
    from wandb.errors import AuthenticationError

    try:
        from wandb.sdk.lib import wbauth

        found = wbauth.authenticate_session(
            host=wandb.setup().settings.base_url,
            source="collapse-lit",
            prompt=False,
            update_session=False,
        )
    except AuthenticationError:
        return True  # there is a key that cannot be one: to start online says what is wrong
    except (ImportError, AttributeError, TypeError):
        return bool(wandb.login(prompt=False, verify=False))
    return found is not None
