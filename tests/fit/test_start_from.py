"""Training that starts from another run's weights with another recipe."""

from pathlib import Path

import pytest
import torch
from reliability.processes import ROOT

from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("one_figure")

QUICK = [
    *("fit", "--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--wandb.mode", "disabled", "--trainer.enable_model_summary", "false"),
]
NET = """
import torch
class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, 16))
    def initialise_from(self, images):
        torch.nn.init.zeros_(self[1].weight)
"""
OWN = ["--model.backbone", "startnets.Net"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "startnets.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def _weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("network", [[], OWN])
def test_the_first_step_is_from_the_weights_given(network: list[str]) -> None:
    common = [*QUICK, *network, "--trainer.limit_train_batches", "2"]
    assert main([*common, "--run_dir", "first", "--trainer.max_epochs", "2"]) == 0
    on = [*common, "--run_dir", "on", "--model.start_from", "first/checkpoints/last.ckpt"]
    still = ["--model.lr", "1e-12", "--model.schedule", "constant", "--seed_everything", "5"]
    assert main([*on, *still, "--trainer.max_epochs", "1"]) == 0
    first, then = _weights("first"), _weights("on")
    for name in first:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(then[name], first[name], rtol=1e-6, atol=1e-9)
    Path("first").rename("elsewhere")  # a run that has begun needs them no more
    assert main([*on, *still, "--trainer.max_epochs", "2"]) == 0
    assert len(RunDirectory("on").read_history()) == 2


def test_the_start_is_measured_without_training(tmp_path: Path) -> None:
    common = [*QUICK, "--trainer.limit_train_batches", "2"]
    assert main([*common, "--run_dir", "first", "--trainer.max_epochs", "1"]) == 0
    start = ["--model.start_from", "first/checkpoints/last.ckpt"]
    assert main([*common, *start, "--run_dir", "on", "--trainer.max_epochs", "0"]) == 0
    (first,), (on,) = (RunDirectory(name).read_history() for name in ("first", "on"))
    assert on["recovery/clp_test"] == first["recovery/clp_test"]
    assert on["collapse/nc1"] == pytest.approx(first["collapse/nc1"], rel=1e-12)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "the file does not exist"), ({}, "no state dict"), ("other", "weights do not fit")],
)
def test_weights_that_do_not_fit_are_one_message(content, said: str, capsys) -> None:
    path = Path("weights.pt")
    if content == "other":
        torch.save(torch.nn.Linear(3, 3).state_dict(), path)
    elif content is not None:
        torch.save(content, path)
    assert main([*QUICK, "--run_dir", "run", "--model.start_from", str(path)]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "model.start_from weights.pt" in message
    assert not Path("run").exists()
