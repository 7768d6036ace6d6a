"""Training and measuring on a GPU, from the loader to a resumed run."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from collapse_lit.cli import main
from collapse_lit.data.loader import EpochSampler, TrainLoader
from collapse_lit.data.transforms import Augmentation, channel_statistics, normaliser
from collapse_lit.tracking.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
SMALL = [
    *("--config", str(ROOT / "configs/quickstart.yaml"), "--model.backbone_args", "{width: 4}"),
    *("--trainer.limit_train_batches", "6", "--wandb.mode", "disabled"),
    *("--trainer.enable_model_summary", "false", "--trainer.devices", "1"),
]
COMPARED = ("train/acc_coarse", "test/acc_coarse", "collapse/nc1", "recovery/clp_test")

pytestmark = pytest.mark.usefixtures("one_figure")


def fit(run_dir: Path, accelerator: str, *options: str) -> RunDirectory:
    command = ["fit", *SMALL, "--run_dir", str(run_dir), "--trainer.accelerator", accelerator]
    assert main([*command, *options]) == 0
    return RunDirectory(run_dir)


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    return torch.load(run.last_checkpoint, weights_only=True, map_location="cpu")["state_dict"]


@pytest.mark.parametrize(
    ("augmentation", "tolerance"),
    [
        (Augmentation(pad=4, flip=True), None),
        (Augmentation(resized=(32, 32), flip=True), 0.02),  # a level of 256, rounded up or down
    ],
)
def test_batches_are_those_of_the_cpu(device, augmentation, tolerance) -> None:
    """Resident on the device, and streamed to it."""
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    cpu = torch.device("cpu")

    def batches(images, device):
        loader = TrainLoader(
            images=images,
            coarse=torch.arange(64) % 5,
            device=device,
            batch_size=16,
            sampler=EpochSampler(64, seed=0),
            augmentation=augmentation,
            normalise=normaliser(channel_statistics(images.cpu()), (3, 32, 32), device),
        )
        return list(loader)

    expected = batches(images, cpu)
    for found in (batches(images.to(device), device), batches(images, device)):
        for (x, y), (x_cpu, y_cpu) in zip(found, expected, strict=True):
            assert x.device.type == device.type
            rtol = None if tolerance is None else 0.0
            torch.testing.assert_close(x.cpu(), x_cpu, atol=tolerance, rtol=rtol)
            assert y.cpu().equal(y_cpu)


def test_a_network_is_measured_as_on_the_cpu(tmp_path: Path, accelerator: str) -> None:
    """Trained on the device; its checkpoint, measured again on the CPU, says the same."""
    run = fit(tmp_path / "run", accelerator, "--trainer.max_epochs", "2")
    (there, last) = run.read_history()
    remeasure = ["remeasure", str(run.path), "--out", str(tmp_path / "again")]
    assert main([*remeasure, "--trainer.accelerator", "cpu"]) == 0
    here = RunDirectory(tmp_path / "again").read_history()[-1]
    assert here["epoch"] == last["epoch"]
    assert here["collapse/nc1"] == pytest.approx(last["collapse/nc1"], rel=1e-3)
    assert here["test/acc_coarse"] == pytest.approx(last["test/acc_coarse"], abs=0.004)
    assert here["recovery/clp_test"] == pytest.approx(last["recovery/clp_test"], abs=0.01)
    assert there["epoch"] == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--trainer.precision", "bf16-mixed"),
        ("--trainer.precision", "bf16-true"),
        ("--model.compile", "true"),
    ],
    ids=["bf16-mixed", "bf16-true", "compile"],
)
def test_a_run_of_every_kind_ends_with_its_measures(
    tmp_path: Path, accelerator: str, options: tuple[str, ...]
) -> None:
    run = fit(tmp_path / "run", accelerator, "--trainer.max_epochs", "2", *options)
    row = run.read_history()[-1]
    assert row["test/acc_coarse"] > 0.2  # five classes, twelve batches
    assert all(row[key] == row[key] for key in COMPARED), "nothing is nan"


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path: Path, accelerator: str) -> None:
    """To the last bit, with deterministic kernels; a GPU promises it with these alone."""
    options = ("--trainer.deterministic", "true", "--model.schedule", "constant")
    options = (*options, "--trainer.max_epochs")
    whole = fit(tmp_path / "whole", accelerator, *options, "3")
    fit(tmp_path / "parts", accelerator, *options, "1")
    parts = fit(tmp_path / "parts", accelerator, *options, "3")
    one, other = weights(whole), weights(parts)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_two_ranks_measure_as_one(tmp_path: Path, accelerator: str) -> None:
    """Two GPUs where there are two; else two ranks on one, which NCCL may refuse."""
    if accelerator == "gpu" and torch.cuda.device_count() < 2:
        logs = two_hosts_on_one_gpu(tmp_path)
        if "Duplicate GPU" in logs:
            pytest.skip("this NCCL takes no two ranks on one GPU")
    else:
        done = fit_in_process(tmp_path / "two", accelerator, "--trainer.devices", "2")
        assert done.returncode == 0, done.stderr[-2000:]
    one = fit_in_process(tmp_path / "one", accelerator, "--data.batch_size", "64")
    assert one.returncode == 0, one.stderr[-2000:]
    rows = [RunDirectory(tmp_path / name).read_history()[-1] for name in ("one", "two")]
    assert rows[1]["test/acc_coarse"] == pytest.approx(rows[0]["test/acc_coarse"], abs=0.05)
    assert rows[1]["recovery/clp_test"] == pytest.approx(rows[0]["recovery/clp_test"], abs=0.05)


QUICKSTART = [
    *("fit", "--config", "configs/quickstart.yaml", "--wandb.mode", "disabled"),
    *("--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false"),
]


def fit_in_process(run_dir: Path, accelerator: str, *options: str) -> subprocess.CompletedProcess:
    defaults = ["--trainer.devices", "1", "--data.batch_size", "32"]
    command = [*QUICKSTART, *defaults, "--run_dir", str(run_dir)]
    command += ["--trainer.accelerator", accelerator, *options]
    return subprocess.run(
        [sys.executable, "-m", "collapse_lit", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def two_hosts_on_one_gpu(folder: Path) -> str:
    """Two NCCL ranks on one GPU, each of which takes itself for a host of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    quiet = {f"NCCL_{way}_DISABLE": "1" for way in ("P2P", "SHM", "IB")}
    ranks, logs = [], []
    for rank in (1, 0):
        environment = {**os.environ, **quiet, "NCCL_SOCKET_IFNAME": "lo", "NCCL_DEBUG": "WARN"}
        environment |= {"NCCL_HOSTID": f"host{rank}", "CUDA_VISIBLE_DEVICES": "0"}
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
        command += ["--nproc-per-node", "1", "--node-rank", str(rank)]
        command += ["--master-addr", "127.0.0.1", "--master-port", port, "-m", "collapse_lit"]
        command += [*QUICKSTART, "--run_dir", str(folder / "two"), "--trainer.num_nodes", "2"]
        command += ["--trainer.devices", "1", "--data.batch_size", "32"]
        log = (folder / f"rank{rank}.log").open("w+")
        logs.append(log)
        ranks.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, text=True)
        )
    try:
        codes = [rank.wait(timeout=240) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    said = ""
    for log in logs:
        log.seek(0)
        said += log.read()
        log.close()
    assert codes == [0, 0] or "Duplicate GPU" in said, said[-3000:]
    return said


def test_the_run_names_its_card(tmp_path: Path, accelerator: str) -> None:
    """A number from a GPU is worth little without the GPU's name."""
    run = fit(tmp_path / "run", accelerator, "--trainer.max_epochs", "1")
    names = json.loads(run.identity.read_text())["gpus"]
    assert len(names) == (0 if accelerator == "cpu" else torch.cuda.device_count())
