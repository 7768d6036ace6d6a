"""Full or read-only disks: an error at the start, or a run that ends without loss."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reliability.processes import VECTORS

from collapse_lit.cli import main
from collapse_lit.errors import UserError
from collapse_lit.tracking.checkpoints import check_checkpoint
from collapse_lit.tracking.claim import Claim
from collapse_lit.tracking.run_directory import RunDirectory

NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """``small_disk(bytes)``: a folder on a disk of that size, or the test is skipped."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int) -> Path:
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(["mount", *options], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that this process, also if it is root's, may read and not write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        yield Path(name)
        os.seteuid(os.getuid())
        Path(name).chmod(0o755)


def fill(disk: Path) -> Path:
    """Use up what is free on a disk, with one file."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def begin(run: RunDirectory) -> None:
    """What every start does first."""
    run.create()
    Claim(run)


@pytest.mark.long
@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(
    start, small_disk, tmp_path: Path
) -> None:
    disk = small_disk(8_000_000)
    arguments = [*VECTORS, "--trainer.max_epochs", "3"]
    process = start(disk / "run", *arguments, "--wandb.mode", "offline", traced=True)
    process.wait_for_epochs(1)
    ballast = fill(disk)
    assert process.end() == 2, process.printed
    assert "No space left on device. The files in" in process.printed
    assert "Traceback" not in process.printed
    run = process.run
    check_checkpoint(run.last_checkpoint, None)
    done = len(run.read_history())
    assert 1 <= done < 3

    assert start(run.path, *arguments).end() == 2  # still full
    ballast.unlink()
    for path in (run.path, tmp_path / "whole"):
        process = start(path, *arguments)
        assert process.end() == 0, process.printed
    assert run.history.read_bytes() == process.run.history.read_bytes()


def test_a_disk_too_small_for_the_checkpoints_is_said_at_the_start(small_disk, capsys) -> None:
    arguments = [*VECTORS, "--trainer.max_epochs", "1", "--model.backbone_args", "{width: 4000}"]
    assert main(["fit", *arguments, "--run_dir", str(small_disk(2_000_000) / "run")]) == 2
    assert "MB free, but checkpoints of this network need" in capsys.readouterr().err


def test_a_directory_without_permission_is_named(unprivileged: Path) -> None:
    with pytest.raises(UserError, match=rf"cannot write to {unprivileged}/run .Permission denied"):
        RunDirectory(unprivileged / "run").create()


@pytest.mark.parametrize("name", ["checkpoints", "snapshots", "figures", "history.jsonl", ".lock"])
def test_what_another_user_has_made_is_named(unprivileged: Path, name: str) -> None:
    os.seteuid(os.getuid())
    unprivileged.chmod(0o777)
    run = RunDirectory(unprivileged / "run")
    run.create()
    run.append_history({"epoch": 0})
    Claim(run).release()
    for path in (run.path, *run.path.iterdir()):
        path.chmod(0o777)
    (run.path / name).chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    with pytest.raises(UserError, match=rf"cannot write to {run.path / name}.*Permission denied"):
        begin(run)


def test_a_read_only_disk_is_named(small_disk) -> None:
    disk = small_disk(1_000_000)
    RunDirectory(disk / "run").create()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UserError, match="Read-only file system"):
        RunDirectory(disk / "run").create()


def test_a_cache_that_cannot_be_written_is_named(unprivileged: Path, monkeypatch) -> None:
    from PIL import Image

    from collapse_lit.data.imagefolder import load_imagefolder

    os.seteuid(os.getuid())
    for split in ("train", "test"):
        (unprivileged / split / "cat").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(unprivileged / split / "cat" / "1.png")
    monkeypatch.setenv("XDG_CACHE_HOME", str(unprivileged))
    for path in (unprivileged, *unprivileged.rglob("*")):
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    with pytest.raises(UserError, match="cannot keep the decoded images"):
        load_imagefolder(unprivileged)
