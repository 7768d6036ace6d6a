from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reliability.processes import Process


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """``start(run_dir, *arguments, **environment)``: a run in a process, ended with the test."""
    started: list[Process] = []

    def run(*arguments: Any, **options: Any) -> Process:
        started.append(Process(*arguments, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
