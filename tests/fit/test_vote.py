"""If one rank asks to stop, all ranks stop at the same batch."""

import lightning as L
import pytest
import torch
from torch import distributed as dist

from collapse_lit.fit.interruption import StopOnSignal
from collapse_lit.fit.vote import Vote


def votes_of(rank, group):
    """What a rank hears when rank 1 alone says yes, at its third call."""
    vote = Vote(world_size=2)
    heard = [vote.cast(rank == 1 and batch == 2) for batch in range(4)]
    vote.close()
    return heard


@pytest.mark.ddp
def test_the_yes_of_one_rank_is_heard_by_all_at_the_next_call(run_on_ranks) -> None:
    assert run_on_ranks(votes_of, 2) == [[False, False, False, True]] * 2


def test_one_process_hears_itself_at_once() -> None:
    assert [Vote().cast(mine) for mine in (False, True)] == [False, True]


def test_no_batch_waits_for_a_broadcast_of_lightnings(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(dist, "broadcast", lambda *args, **kwargs: asked.append("broadcast"))
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    loop, module = trainer.fit_loop.epoch_loop, L.LightningModule()
    loop._broadcast_sigterm_tensor()
    assert asked == ["broadcast"]
    callback = StopOnSignal()
    callback.on_train_start(trainer, module)
    loop._broadcast_sigterm_tensor()
    callback.on_train_batch_start(trainer, module, torch.zeros(1), 0)
    callback.teardown(trainer, module, "fit")
    assert asked == ["broadcast"]
