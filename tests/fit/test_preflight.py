"""Warnings about the machine before training."""

import logging
import warnings
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import Namespace

from collapse_lit.fit import command
from collapse_lit.fit.preflight import tell_of_large_steps, warn_of_unused_gpu


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose nvidia-smi lists this, with a PyTorch that sees no GPU."""

    def of(listed: str, built_for: str | None = "13.0", code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho '{listed}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
        monkeypatch.setattr(torch.version, "cuda", built_for)

    return of


@pytest.mark.parametrize(
    ("built_for", "why"), [("13.0", "too old for CUDA 13.0"), (None, "built for the CPU only")]
)
def test_a_gpu_that_cannot_be_used_is_told_of_with_the_reason(machine, built_for, why) -> None:
    machine("GPU 0: NVIDIA H100", built_for)
    with pytest.warns(UserWarning, match=why):
        warn_of_unused_gpu(Namespace(accelerator="auto"))


def test_nothing_is_said_without_a_gpu_or_where_the_cpu_was_asked_for(machine) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine("NVIDIA-SMI has failed", code=9)
        warn_of_unused_gpu(Namespace(accelerator="auto"))
        machine("GPU 0: NVIDIA H100")
        warn_of_unused_gpu(Namespace(accelerator="cpu"))


def test_several_processes_are_told_how_large_a_step_is(caplog) -> None:
    with caplog.at_level(logging.INFO):
        tell_of_large_steps(1, 128)
        assert caplog.messages == []
        tell_of_large_steps(8, 128)
    (said,) = caplog.messages
    assert "each step uses 8 × 128 = 1,024 images" in said


def test_a_run_of_two_processes_says_so(monkeypatch) -> None:
    """Before it trains; what trains is of no importance here."""
    told = []
    monkeypatch.setattr(command, "tell_of_large_steps", lambda *sizes: told.append(sizes))
    monkeypatch.setattr(command, "newest_checkpoint", lambda *_: 1 / 0)
    cli = SimpleNamespace(
        run_directory=None,
        trainer=SimpleNamespace(world_size=2),
        model=SimpleNamespace(state_dict=dict),
        datamodule=SimpleNamespace(batch_size=64),
    )
    with pytest.raises(ZeroDivisionError):
        command._train(cli)
    assert told == [(2, 64)]
