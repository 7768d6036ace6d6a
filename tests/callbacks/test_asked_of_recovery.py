"""Options of the recovery monitor: numbers of clusters, and a space."""

from typing import Any

import pytest
import torch
from anyones import fit, tensors
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from collapse_lit.callbacks import RecoveryMonitor
from collapse_lit.errors import UserError
from collapse_lit.measure import recover
from collapse_lit.measure.collapse.spread import relative_spread

DATA = DataLoader(TensorDataset(*tensors()[:2]), batch_size=16)


def test_a_class_may_leave_its_number_to_be_estimated() -> None:
    recovery = RecoveryMonitor(k=[2, None])
    fit([recovery], DATA)
    first, second = recovery.recovery.k
    assert first == 2
    assert second == recover(*clustered(recovery), "auto").k[1]


def test_a_space_may_be_asked_for() -> None:
    forced, chosen, either = (RecoveryMonitor(k=2, space=s) for s in ("raw/gmm", "auto", None))
    for monitor in (forced, chosen, either):
        monitor.name = str(monitor.space)
    fit([forced, chosen, either], DATA)
    assert forced.recovery.space == ("raw/gmm", "raw/gmm")
    assert forced.pictures["space"] == ["raw/gmm", "raw/gmm"]
    spread = relative_spread(*clustered(forced), 2)
    assert forced.pictures["spread"] == pytest.approx(spread.tolist())
    assert torch.equal(forced.recovery.ids, recover(*clustered(forced), 2, space="raw/gmm").ids)
    assert torch.equal(chosen.recovery.ids, either.recovery.ids)
    assert all("white" in space for space in chosen.recovery.space)


def clustered(monitor: RecoveryMonitor) -> tuple[Tensor, Tensor]:
    """Features and labels that a monitor measured last."""
    train = monitor.splits["train"]
    return train.features, train.coarse


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"space": "ica/gmm"}, r"recovery\.space: space 'ica/gmm' is unknown.*raw, pcaR, whiteR"),
        ({"space": "raw/kmeans", "k": "auto"}, "recovery.space: .*needs a whitened space"),
        ({"space": "raw/kmeans", "k": [2, None]}, "recovery.space: .*needs a whitened space"),
    ],
)
def test_a_space_that_is_none_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        RecoveryMonitor(**options)
