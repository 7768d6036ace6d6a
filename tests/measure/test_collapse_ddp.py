"""Shards on real processes measure what one process measures on all samples."""

from typing import Any

import pytest
import torch
from torch import Tensor

from collapse_lit.measure import class_distances, hierarchical_collapse, neural_collapse

FINE_TO_COARSE = torch.tensor([0, 1, 2, 0, 1, 2])


def samples() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Near collapse and far from the origin, where a wrong order of summation would show."""
    generator = torch.Generator().manual_seed(0)
    normal = {"generator": generator, "dtype": torch.float64}
    fine = torch.randint(0, 6, (157,), generator=generator)
    features = torch.randn(6, 9, **normal)[fine] + 1e-3 * torch.randn(157, 9, **normal) + 10
    return features, fine, torch.randn(3, 9, **normal), torch.randn(3, **normal)


def shards(fine: Tensor, size: int) -> dict[str, list[Tensor]]:
    """Rows for each rank, in ways that sampling or bad luck may bring."""
    rows = torch.arange(len(fine))
    none = rows[:0]
    return {
        "unequal": list(rows.tensor_split([100, 101][: size - 1])),
        "a class on the last rank only": [none] * (size - 2) + [rows[fine != 2], rows[fine == 2]],
        "no samples on rank 0": [none, *rows.tensor_split(size - 1)],
        "all samples on rank 0": [rows] + [none] * (size - 1),
    }


def measured(features: Tensor, fine: Tensor, W: Tensor, b: Tensor, group: Any = None) -> dict:
    both = hierarchical_collapse(features, fine, FINE_TO_COARSE, W, b, group=group)
    coarse = FINE_TO_COARSE[fine]
    return {
        "coarse": both.coarse,
        "fine": both.fine,
        "alone": neural_collapse(features, coarse, 3, W, b, group=group, variants=True),
        "distances": both.distances.flatten().tolist(),
        "class_distances": class_distances(features, fine, 6, group=group).flatten().tolist(),
    }


def streamed(features: Tensor, fine: Tensor) -> dict[str, float]:
    """The metric after batches of 40; it finds the process group by itself."""
    from collapse_lit.measure.collapse.metric import NeuralCollapse  # takes seconds to import

    metric = NeuralCollapse(3, 9)
    for h, y in zip(features.split(40), FINE_TO_COARSE[fine].split(40), strict=True):
        metric.update(h, y)
    return {key: float(value) for key, value in metric.compute().items()}


def told(rank: int, group: Any) -> list[str]:
    """What each rank is told when rank 1, or 0, holds something that cannot be measured."""
    good, labels = torch.randn(8, 3) + rank, torch.tensor([0, 1] * 4)
    not_finite = good.clone()
    not_finite[2, 1] = torch.nan
    messages = []
    for features, y in (
        (not_finite if rank == 1 else good, labels),
        (good, labels + 1 if rank == 0 else labels),
        (good[:, :2] if rank == 1 else good, labels),
        (good[:, 0] if rank == 1 else good, labels),
        (good[labels == 0], labels[labels == 0]),
    ):
        try:
            neural_collapse(features, y, 2, group=group)
        except ValueError as error:
            messages.append(str(error))
    neural_collapse(good, labels, 2, group=group)  # the ranks are still in step
    return messages


def on_a_rank(rank: int, group: Any, size: int) -> dict[str, Any]:
    features, fine, W, b = samples()
    mine = {how: rows[rank] for how, rows in shards(fine, size).items()}
    result = {
        "measured": {how: measured(features[r], fine[r], W, b, group) for how, r in mine.items()},
        "told": told(rank, group),
    }
    if size == 2:
        result["streamed"] = {how: streamed(features[r], fine[r]) for how, r in mine.items()}
    return result


@pytest.fixture(scope="module", params=[2, 3])
def ranks(run_on_ranks, request):
    return run_on_ranks(on_a_rank, request.param, request.param)


@pytest.mark.ddp
def test_shards_measure_what_one_process_measures(ranks):
    expected = measured(*samples())
    for how, found in ranks[0]["measured"].items():
        for what, values in expected.items():
            assert found[what] == pytest.approx(values, rel=1e-9, abs=0), (how, what)
    for rank in ranks[1:]:
        assert rank["measured"] == ranks[0]["measured"], "ranks differ"


@pytest.mark.ddp
def test_the_metric_of_shards_is_the_metric_of_all(ranks):
    if len(ranks) == 3:
        pytest.skip("torchmetrics takes seconds to import on each rank: two of them are enough")
    features, fine, _, _ = samples()
    expected = neural_collapse(features, FINE_TO_COARSE[fine], 3)
    for rank in ranks:
        for how, values in rank["streamed"].items():
            assert {"nc1", "vci", "nc2_etf"} <= values.keys()
            of_all = {key: expected[key] for key in values}
            assert values == pytest.approx(of_all, rel=1e-9, abs=0), how


@pytest.mark.ddp
def test_ranks_raise_together(ranks):
    for rank in ranks:
        not_finite, outside, width, unfit, empty = rank["told"]
        good = [3] * (len(ranks) - 2)
        assert f"NaN or Inf: class 0 in 1 of {4 * len(ranks)} samples" in not_finite
        assert "4 labels lie outside 0..1" in outside
        assert f"the width of the features differs between ranks: {[3, 2, *good]}" in width
        assert "wrong on ranks [1]" in unfit
        assert "no samples of class 1" in empty
