"""A run of several processes that torchrun or srun started is one run, not several."""

import pytest
from jsonargparse import Namespace

from collapse_lit.errors import UserError
from collapse_lit.fit.launchers import join_processes

TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3"},
    **{"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"},  # one torchrun a node is usual
}
SRUN = {"SLURM_NTASKS": "6", "SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "2"}


def joined(devices: int | str, num_nodes: int = 1) -> tuple[int | str, int]:
    trainer = Namespace(devices=devices, num_nodes=num_nodes)
    join_processes(trainer)
    return trainer.devices, trainer.num_nodes


@pytest.fixture(params=[TORCHRUN, SRUN], ids=["torchrun", "srun"])
def launcher(request, monkeypatch) -> str:
    """Six processes on two nodes."""
    for key, value in request.param.items():
        monkeypatch.setenv(key, value)
    return request.node.callspec.id


@pytest.mark.usefixtures("launcher")
def test_all_processes_that_were_started_train_one_run() -> None:
    assert joined("auto") == (3, 2)
    assert joined(3, 2) == (3, 2)


def test_another_number_than_was_started_is_refused(launcher: str) -> None:
    with pytest.raises(
        UserError, match=rf"{launcher} started 6 processes: .* or set them to 3 and 2"
    ):
        joined(3)


@pytest.mark.parametrize("environment", [{}, {"SLURM_NTASKS": "6", "SLURM_JOB_NAME": "bash"}])
def test_a_process_started_alone_takes_the_devices_of_its_node(environment, monkeypatch) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert joined("auto") == ("auto", 1)
