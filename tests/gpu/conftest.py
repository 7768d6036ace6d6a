"""Everything here needs a CUDA device: ``make test-gpu``.

``REHEARSE_GPU=1 pytest tests/gpu`` runs the same on the CPU, where there is none: the tests
themselves are then known to be right, and nothing else is.
"""

import os
from pathlib import Path

import pytest
import torch

REHEARSED = bool(os.environ.get("REHEARSE_GPU"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them ``gpu``, and skip them without a device."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.gpu)
            if not (torch.cuda.is_available() or REHEARSED):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU, or the CPU in a rehearsal."""
    return torch.device("cpu") if REHEARSED else torch.device("cuda", 0)


@pytest.fixture(scope="session")
def accelerator() -> str:
    """What Lightning calls it."""
    return "cpu" if REHEARSED else "gpu"
