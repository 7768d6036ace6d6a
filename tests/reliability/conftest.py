import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from collapse_lit.tracking.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
SMALL = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--trainer.accelerator", "cpu"),
    *("--model.backbone_args", "{width: 4}", "--trainer.limit_train_batches", "6"),
    *("--trainer.enable_model_summary", "false", "--wandb.mode", "disabled"),
]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(run_dir, *arguments, **environment)``: a small run in a process of its own."""
    started = []

    def run(run_dir: Path, *arguments: str, program: str = "", **env: str) -> subprocess.Popen[str]:
        script = [str(Path(__file__).with_name(program))] if program else ["-m", "collapse_lit"]
        process = subprocess.Popen(
            [sys.executable, *script, "fit", *SMALL, "--run_dir", str(run_dir), *arguments],
            cwd=ROOT,
            env=os.environ | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """``weights(run_dir)``: of the last checkpoint."""
    return lambda path: torch.load(RunDirectory(path).last_checkpoint, weights_only=True)[
        "state_dict"
    ]
