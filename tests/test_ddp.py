"""Two processes of gloo must measure what one measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from collapse_lit.cli import main

ROOT = Path(__file__).parents[1]
SMALL = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--model.backbone_args", "{width: 4}", "--wandb.mode", "disabled"),
    *("--trainer.enable_model_summary", "false"),
]


def run(*arguments: str, timeout: int = 240) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    arguments = ["--run_dir", str(tmp_path / "run"), "--trainer.max_epochs", "1"]
    assert main(["fit", *SMALL, *arguments]) == 0
    found = {}
    for devices in ("1", "2"):
        run(
            *("tests/measured_by_two.py", "--devices", devices, "--out", str(tmp_path / devices)),
            *("--checkpoint", str(tmp_path / "run/checkpoints/last.ckpt")),
        )
        found[devices] = [json.loads(p.read_text()) for p in sorted((tmp_path / devices).iterdir())]
    (alone,), (first, second) = found["1"], found["2"]
    assert first == second
    assert alone["recovery/clp_test"] > 0.5
    # a probe is fitted in float32: an image on its boundary may fall to either side
    probed = {
        "recovery/clp_test",
        "recovery/clp_test_inside",
        "recovery/floor",
        "recovery/probe_test",
    }
    one_image = 1 / 500
    for key, value in alone.items():
        near = {"abs": 1.1 * one_image} if key in probed else {"rel": 1e-6}
        assert first[key] == pytest.approx(value, **near), key
    assert first.keys() == alone.keys()
