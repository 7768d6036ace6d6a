import subprocess
import sys
from pathlib import Path

import pytest

from collapse_lit import __version__
from collapse_lit.cli import main

pytestmark = pytest.mark.usefixtures("one_figure")

QUICKSTART = str(Path(__file__).parents[1] / "configs/quickstart.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "unknown command 'train'"),
        (["discovr"], "unknown command 'discovr'; did you mean 'discover'?"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["fit", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["fit", "--config", QUICKSTART, "--model.lrr", "0.1"], "--model.lrr"),
        (["fit", "--config", QUICKSTART, "--model.lr", "fast"], "model.lr"),
        (["fit", "--config", QUICKSTART, "--data.num_coarse", "11"], "data.num_coarse=11"),
        (["fit", "--config", QUICKSTART, "--data.source", "digts"], "digits"),
        (["fit", "--config", QUICKSTART, "--model.backbone", "resnet19"], "resnet18"),
        (["fit", "--config", QUICKSTART, "--recovery.k", "9999"], "recovery.k: 9999 clusters"),
        (["fit", "--config", QUICKSTART, "--collapse.layers", "[conv9]"], "no layer 'conv9'"),
    ],
)
def test_a_mistake_is_one_clear_message(
    arguments: list[str], said: str, capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "fit":
        arguments = [*arguments, "--run_dir", "run", "--wandb.mode", "disabled"]
        arguments += ["--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert "usage:" not in error


def test_help_names_the_commands(capsys) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "collapse-lit fit --config configs/quickstart.yaml" in shown
    assert main([]) == 0


def test_help_of_fit_explains_what_a_newcomer_looks_for(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.index("--data.source") < shown.index("--model.lr") < shown.index("--help.trainer")
    assert "--trainer.gradient_clip_val" not in shown
    with pytest.raises(SystemExit):
        main(["fit", "--help.trainer"])
    assert "--trainer.gradient_clip_val" in capsys.readouterr().out
    for said in ("learn, no download", "Peak learning rate", "Clusters in each coarse class"):
        assert said in " ".join(shown.split())


def test_another_model_does_not_take_over_a_run(capsys, tmp_path: Path) -> None:
    common = ["fit", "--config", QUICKSTART, "--run_dir", str(tmp_path), "--wandb.mode", "disabled"]
    common += ["--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1"]
    assert main(common) == 0
    before = (tmp_path / "history.jsonl").read_bytes()
    assert main([*common, "--model.lr", "0.3", "--data.augment", "crop"]) == 2
    error = capsys.readouterr().err
    assert "model.lr was 0.05, now 0.3" in error
    assert "data.augment was 'none', now 'crop'" in error
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_a_mistyped_configuration_is_said_before_lightning_is_imported(tmp_path: Path) -> None:
    Path(tmp_path / "quickstart.yaml").touch()
    script = f"""
import sys
from collapse_lit.cli import main
code = main(["fit", "--config", {str(tmp_path / "quikstart.yaml")!r}])
sys.exit(code if not {{"torch", "lightning"}} & sys.modules.keys() else 1)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert f"did you mean {str(tmp_path / 'quickstart.yaml')!r}?" in done.stderr


def test_it_says_which_version_it_is(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"collapse-lit {__version__}\n"


def test_the_library_is_imported_where_there_is_no_posix() -> None:
    """As on Windows, which lacks these; torch and Lightning find ways around them there."""
    script = """
import lightning, os, signal, sys, torch, wandb, torchmetrics, sklearn, plotly
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
del os.EX_TEMPFAIL, signal.SIGUSR1
import collapse_lit.callbacks, collapse_lit.measure, collapse_lit.discover
os.name = "nt"
from collapse_lit.cli import main
assert main(["fit"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fit needs Linux or macOS" in done.stderr
