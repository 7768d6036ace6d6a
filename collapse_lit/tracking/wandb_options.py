"""The arguments of W&B: from our options, its environment and settings files, or our defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

PROJECT = "collapse-lit"
# W&B's two older names of modes.
SYNONYMS = {"dryrun": "offline", "run": "online"}


@dataclass(frozen=True)
class WandbOptions:
    """Options of Weights & Biases. If an option is null, W&B's environment variable applies.

    Args:
        mode: online, offline, disabled or auto. auto uses WANDB_MODE, else online if W&B finds a
            key, else offline. It never prompts.
        project: W&B project; null uses WANDB_PROJECT, else collapse-lit.
        entity: Team or user of the run; null uses WANDB_ENTITY, else the owner of the key.
        name: Name of the run; null uses WANDB_NAME, else the name of run_dir.
        group: Group of runs that W&B shows together; null uses WANDB_RUN_GROUP.
        tags: Tags of the run; null uses WANDB_TAGS.
    """

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str | None = None
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: Sequence[str] | None = None


def init_arguments(options: WandbOptions, run_name: str) -> dict[str, Any]:
    """Arguments of ``wandb.init``; None if W&B's environment or settings files decide.

    The first of these decides: an explicit option, W&B's environment variable, W&B's settings
    files, the default of collapse-lit.

    Args:
        options: The user's options.
        run_name: Default name of the run.

    Raises:
        Exception: Any error of W&B for an invalid environment.
    """
    import wandb

    found = wandb.setup().settings  # the environment and the files of `wandb login`
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
    if "mode" in found.model_fields_set:  # set explicitly, not W&B's default
        return SYNONYMS.get(found.mode, found.mode)
    return "online" if has_key() else "offline"


def has_key() -> bool:
    """Whether W&B has credentials for its server; this never prompts.

    W&B looks in its environment, its settings files and .netrc for its default host. The public
    ``wandb.login`` does the same, but it also writes settings files and contacts the server, and it
    returns False in offline mode. It is only used for versions without the first function.
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
        return True  # the key is invalid: an online start reports the problem
    except (ImportError, AttributeError, TypeError):
        return bool(wandb.login(prompt=False, verify=False))
    return found is not None
