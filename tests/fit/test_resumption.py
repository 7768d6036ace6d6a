from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from collapse_lit.fit import resumption
from collapse_lit.fit.resumption import check_same_epoch, move_schedule


def schedule() -> LambdaLR:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = LambdaLR(optimizer, lambda step: 0.9**step)
    optimizer.step()  # or torch warns
    return scheduler


def test_a_moved_schedule_goes_on_as_one_that_was_there_before() -> None:
    walked, moved = schedule(), schedule()
    for _ in range(7):
        walked.step()
    move_schedule(moved, 7)
    for _ in range(3):
        assert moved.get_last_lr() == walked.get_last_lr()
        walked.step()
        moved.step()


def test_ranks_that_resumed_from_different_checkpoints_do_not_train_on(monkeypatch) -> None:
    trainer = SimpleNamespace(
        current_epoch=3, world_size=2, strategy=SimpleNamespace(root_device="cpu")
    )
    monkeypatch.setattr(resumption, "measuring_group", lambda trainer: None)
    check_same_epoch(trainer)
    monkeypatch.setattr(resumption, "concat_over_ranks", lambda mine, group: torch.tensor([3, 2]))
    with pytest.raises(RuntimeError, match=r"after \[3, 2\] epochs"):
        check_same_epoch(trainer)
