"""Two gloo processes must measure the same values as one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of one process, both kept."""
    path = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["--trainer.max_epochs", "2", "--checkpoint_every", "1", "--run_dir", str(path)]
    run("-m", "collapse_lit", "fit", *SMALL, *arguments)
    return path


def assert_same(shared: dict[str, Any], alone: dict[str, Any]) -> None:
    # a probe is fitted in float32: an image on its boundary may fall to either side
    probed = {
        "recovery/clp_test",
        "recovery/clp_test_inside",
        "recovery/floor",
        "recovery/floor_std",
        "recovery/probe_test",
        "recovery_layers/backbone.4/clp_test",
        "recovery_layers/backbone.4/probe_test",
    }
    one_image = 1 / 500
    assert shared.keys() == alone.keys()
    for key, value in alone.items():
        near = {"abs": 1.1 * one_image} if key in probed else {"rel": 1e-6}
        expected = value if key == "recovery/space" else pytest.approx(value, **near)
        assert shared[key] == expected, key


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_measure_what_one_does(trained: Path, tmp_path: Path) -> None:
    found, of_layer = {}, {}
    for devices in ("1", "2"):
        run(
            *("tests/measured_by_two.py", "--devices", devices, "--out", str(tmp_path / devices)),
            *("--checkpoint", str(trained / "checkpoints/last.ckpt")),
        )
        values, clusters = (
            [json.loads(p.read_text()) for p in sorted((tmp_path / devices).glob(f"*.{kind}"))]
            for kind in ("json", "clusters")
        )
        found[devices] = values
        of_layer[devices] = {index: one for part in clusters for index, one in part.items()}
    (alone,), (first, second) = found["1"], found["2"]
    assert first == second
    assert of_layer["1"] == of_layer["2"]
    assert alone["recovery/clp_test"] > 0.5
    assert_same(first, alone)


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_measure_checkpoints_again(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    run("-m", "collapse_lit", "remeasure", str(trained), "--out", str(out), "--trainer.devices=2")
    before, after = (
        [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
        for path in (trained, out)
    )
    assert [row["epoch"] for row in after] == [0, 1]
    for row, alone in zip(after, before, strict=True):
        assert_same(row, alone)
