import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before torch: as the command line sets it, and one thread: more cost networks this small time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightning  # noqa: F401  # its loggers get their handlers on import
import pytest
import torch

# Lightning's handlers write to the stream that was stderr at import, closed by the next test.
for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
    logging.getLogger(name).handlers.clear()
    logging.getLogger(name).propagate = True


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only the first figure: they take most of the time of a run of two epochs."""
    from drawing import draw_one_figure

    draw_one_figure(monkeypatch.setattr)


@pytest.fixture
def unread_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """W&B as in a process that has just started, in an empty home and nothing of it in the way.

    W&B reads environment and files once a process, and Lightning's logger writes to the former.
    """
    import wandb

    wandb.teardown()  # first, so that no dead service of W&B's is put back into the environment
    os.environ.pop("WANDB_SERVICE", None)
    for name in [name for name in os.environ if name.startswith("WANDB") or name == "NETRC"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "")  # so that what Lightning makes of it does not stay
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wandb.teardown()


@pytest.fixture
def cells_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the cells of a grid in this process: to import everything takes longer than a cell."""
    from collapse_lit.cli import main
    from collapse_lit.compare import cells

    def run(command: list[str]) -> SimpleNamespace:
        return SimpleNamespace(returncode=main(command[3:]))

    monkeypatch.setattr(cells, "subprocess", SimpleNamespace(run=run))


@pytest.fixture(scope="session")
def run_on_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """``run_on_ranks(fn, world_size, *args)``: results of ``fn(rank, group, *args)`` by rank.

    Each rank is a process of a gloo group on the CPU; ``fn`` must be a module's own function. A
    rank that raises, or hangs for two minutes, fails the test with its traceback.
    """

    def run(fn: Callable[..., Any], world_size: int, *args: Any) -> list[Any]:
        folder = tmp_path_factory.mktemp(f"{fn.__name__}-{world_size}")
        torch.save(
            (sys.modules[fn.__module__].__file__, fn.__name__, world_size, args), folder / "task"
        )
        command = [sys.executable, "-W", "error", Path(__file__).with_name("ranks.py"), folder]
        ranks = [
            subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
            for rank in range(world_size)
        ]
        try:
            errors = [process.communicate(timeout=120)[1] for process in ranks]
        finally:
            for process in ranks:
                process.kill()
                process.communicate()
        for rank, process in enumerate(ranks):
            assert process.returncode == 0, f"rank {rank} of {world_size}:\n{errors[rank]}"
        return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]

    return run


@pytest.fixture
def registries_as_they_were() -> Iterator[None]:
    """What a test registers, no other test finds."""
    from collapse_lit.measure.recovery.clusterers import CLUSTERERS
    from collapse_lit.measure.recovery.kinds import KINDS

    before = dict(KINDS), dict(CLUSTERERS)
    yield
    for registry, entries in zip((KINDS, CLUSTERERS), before, strict=True):
        registry.clear()
        registry.update(entries)
