"""The arguments of W&B: the order of options, environment and settings files."""

import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from collapse_lit.tracking.wandb_options import WandbOptions, has_key, init_arguments

KEY = "0123456789abcdef0123456789abcdef01234567"
SERVER = "https://wandb.example.org"
NETRC = f"machine wandb.example.org\n  login user\n  password {KEY}\n"


@pytest.fixture(autouse=True)
def home(unread_wandb: Path) -> Path:
    """An empty home, which is the working directory too, and a W&B that has read nothing yet."""
    return unread_wandb


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def log_in(*arguments: str) -> None:
    command = [sys.executable, "-m", "wandb", "login", "--no-verify", *arguments, KEY]
    subprocess.run(command, check=True, capture_output=True)


def mode(**options: str) -> str:
    return init_arguments(WandbOptions(**options), "run")["mode"]


def test_without_a_key_it_is_offline() -> None:
    assert mode() == "offline"


@pytest.mark.parametrize("host", [[], ["--host", SERVER]])
def test_after_wandb_login_it_is_online(host: list[str]) -> None:
    log_in(*host)
    assert mode() == "online"


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
@pytest.mark.parametrize("settings", [".config/wandb/settings", "wandb/settings", None])
def test_the_server_of_any_settings_and_the_key_of_any_netrc_are_found(
    home: Path, monkeypatch: pytest.MonkeyPatch, settings: str | None, name: str
) -> None:
    write(home / name, NETRC)
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(home / name))
    if settings:
        write(home / settings, f"[default]\nbase_url = {SERVER}\n")
    else:
        monkeypatch.setenv("WANDB_BASE_URL", SERVER)
    assert mode() == "online"


def test_a_key_of_another_server_is_none(home: Path) -> None:
    write(home / ".netrc", NETRC)
    assert mode() == "offline"


@pytest.mark.parametrize(
    "variable", [("WANDB_API_KEY", KEY), ("WANDB_IDENTITY_TOKEN_FILE", "token.jwt")]
)
def test_credentials_in_the_environment_are_found(
    monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    monkeypatch.setenv(*variable)
    assert mode() == "online"


def test_a_key_in_a_settings_file_is_found(home: Path) -> None:
    write(home / ".config/wandb/settings", f"[default]\napi_key = {KEY}\n")
    assert mode() == "online"


def test_a_key_that_cannot_be_one_is_tried_so_that_w_and_b_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert has_key()


def test_a_version_without_the_inner_functions_is_asked_by_its_public_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("wandb.sdk.lib.wbauth.authenticate_session")
    monkeypatch.setattr(wandb, "login", lambda *, prompt, verify: not prompt and not verify)
    assert has_key()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *[("disabled", "disabled"), ("offline", "offline"), ("dryrun", "offline")],
        *[("online", "online"), ("run", "online"), ("shared", "shared")],
    ],
)
def test_wandb_mode_means_what_it_means_everywhere(
    monkeypatch: pytest.MonkeyPatch, said: str, meant: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", said)
    assert mode() == meant
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    wandb.teardown()
    assert mode() == meant
    assert mode(mode="offline") == "offline"
    assert mode(mode="online") == "online"


def test_wandb_offline_in_this_folder_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    subprocess.run([sys.executable, "-m", "wandb", "offline"], check=True, capture_output=True)
    assert mode() == "offline"


# Option, variable, W&B's name of it, default.
OPTIONS = [
    ("project", "WANDB_PROJECT", "project", "collapse-lit"),
    ("name", "WANDB_NAME", "run_name", "run"),
    ("entity", "WANDB_ENTITY", "entity", None),
    ("group", "WANDB_RUN_GROUP", "run_group", None),
    ("tags", "WANDB_TAGS", "run_tags", None),
]


@pytest.mark.parametrize(("option", "variable", "field", "default"), OPTIONS)
def test_an_option_comes_before_the_environment_and_that_before_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch, option: str, variable: str, field: str, default
) -> None:
    def used(**options) -> str | tuple[str, ...] | None:
        wandb.teardown()
        arguments = init_arguments(WandbOptions(**options), "run") | {"mode": "offline"}
        with wandb.init(**arguments, dir=home, settings=wandb.Settings(console="off")) as run:
            return getattr(run.settings, field)

    def as_used(word: str) -> str | tuple[str, ...]:
        return (word,) if option == "tags" else word

    assert used() == default
    monkeypatch.setenv(variable, "environment")
    assert used() == as_used("environment")
    assert used(**{option: as_used("option")}) == as_used("option")


def test_a_settings_file_comes_after_the_environment_and_before_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "wandb/settings", "[default]\nproject = file\n")
    assert init_arguments(WandbOptions(), "run")["project"] is None  # what W&B has read itself
    assert wandb.setup().settings.project == "file"
    monkeypatch.setenv("WANDB_PROJECT", "environment")
    wandb.teardown()
    assert init_arguments(WandbOptions(), "run")["project"] is None
    assert wandb.setup().settings.project == "environment"
