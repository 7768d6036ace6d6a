"""A run uses the precision that is fast on its machine."""

import pytest
import torch
from jsonargparse import Namespace

from collapse_lit.fit.precision import avoid_slow_precision


@pytest.fixture
def resolved(monkeypatch):
    def resolve(instructions, *, precision="bf16-mixed", accelerator="auto", gpu=False, said=()):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)
        trainer = Namespace(precision=precision, accelerator=accelerator)
        avoid_slow_precision(trainer, said)
        return trainer.precision

    return resolve


WITHOUT = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}


def test_a_cpu_without_bfloat16_trains_in_float32(resolved):
    assert resolved(WITHOUT) == "32-true"
    assert resolved(WITHOUT, accelerator="cpu", gpu=True) == "32-true"


@pytest.mark.parametrize("instructions", [WITHOUT | {"avx512_bf16": True}, {"bf16": True}, {}])
def test_a_cpu_with_bfloat16_or_one_that_is_not_known_does_what_is_asked(resolved, instructions):
    assert resolved(instructions) == "bf16-mixed"


def test_a_gpu_does_what_is_asked(resolved):
    assert resolved(WITHOUT, gpu=True) == "bf16-mixed"
    assert resolved(WITHOUT, accelerator="gpu", gpu=True) == "bf16-mixed"


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", 32])
def test_no_other_precision_is_touched(resolved, precision):
    assert resolved(WITHOUT, precision=precision) == precision


@pytest.mark.parametrize(
    "said", [["--trainer.precision", "bf16-mixed"], ["--trainer.precision=bf16-mixed"]]
)
def test_what_the_command_line_says_is_left_as_it_is(resolved, said):
    assert resolved(WITHOUT, said=said) == "bf16-mixed"
