"""Measures use full float32, for any precision setting of training."""

import pytest
import torch
from torch import nn

from collapse_lit.features import extract_features
from collapse_lit.measure import fit_probe, neural_collapse
from collapse_lit.measure.collapse import functional
from collapse_lit.measure.full_float32 import full_float32


def settings() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture
def fast():
    """What Lightning advises for training on a GPU."""
    before = settings()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    yield
    assert settings() == ("high", True)  # given back
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_a_network_is_read_in_full_float32(fast) -> None:
    seen = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            seen.append(settings())
            return self.head(x)

    extract_features(Net(), [(torch.randn(4, 3), torch.arange(4) % 2)], "head")
    assert seen == [("highest", False)]


def test_collapse_is_measured_in_full_float32(fast, monkeypatch) -> None:
    seen = []
    plain = functional.class_means
    monkeypatch.setattr(
        functional, "class_means", lambda *args: seen.append(settings()) or plain(*args)
    )
    neural_collapse(torch.randn(20, 4), torch.arange(20) % 2, num_classes=2)
    assert seen == [("highest", False)]


def test_what_fails_gives_the_settings_back_too(fast) -> None:
    with pytest.raises(ValueError, match="features"):
        fit_probe(torch.randn(3, 4, 5), torch.arange(3), 3)
    with pytest.raises(RuntimeError, match="stop"), full_float32():
        raise RuntimeError("stop")
