"""The torchmetrics metric: any batching gives the result of the function on all samples."""

import copy
import doctest
import pickle

import pytest
import torch
from torch import Tensor, nn

from collapse_lit.measure import neural_collapse
from collapse_lit.measure.collapse import metric as metric_module
from collapse_lit.measure.collapse.metric import NeuralCollapse


def planted(n: int, sigma: float, offset: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (n,), generator=generator)
    means = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    return means[labels] + sigma * noise + offset, labels


def values(metric: NeuralCollapse) -> dict[str, float]:
    return {key: float(value) for key, value in metric.compute().items()}


def of_all_at_once(features: Tensor, labels: Tensor) -> dict[str, float]:
    """What the function gives, less what takes a second look at each sample."""
    found = neural_collapse(features, labels, 4)
    del found["directional_cdnv"]
    return found


def updated(features: Tensor, labels: Tensor, batches: int) -> NeuralCollapse:
    metric = NeuralCollapse(4, 6)
    for h, y in zip(features.chunk(batches), labels.chunk(batches), strict=True):
        metric.update(h, y)
    return metric


@pytest.mark.parametrize("batches", [1, 7, 200])
@pytest.mark.parametrize(("sigma", "offset"), [(1.0, 0.0), (1e-4, 100.0)])
def test_batches_add_up_to_the_function(batches, sigma, offset):
    features, labels = planted(200, sigma, offset)
    expected = of_all_at_once(features, labels)
    found = values(updated(features, labels, batches))
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-9, abs=0)


def test_states_merge():
    features, labels = planted(120, 1e-3, 10.0)
    first, second = updated(features[:31], labels[:31], 2), updated(features[31:], labels[31:], 3)
    first.merge_state(second)
    untouched = NeuralCollapse(4, 6)
    first.merge_state(untouched)
    assert values(first) == pytest.approx(of_all_at_once(features, labels), rel=1e-9, abs=0)


def test_a_checkpoint_in_the_middle_of_an_epoch(tmp_path):
    features, labels = planted(120, 1e-3, 10.0)
    module = nn.ModuleDict({"collapse": updated(features[:50], labels[:50], 2)})
    torch.save(module.state_dict(), tmp_path / "checkpoint")
    resumed = nn.ModuleDict({"collapse": NeuralCollapse(4, 6)})
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint", weights_only=True))
    for each in (module, resumed):
        each["collapse"].update(features[50:], labels[50:])
    assert values(resumed["collapse"]) == values(module["collapse"])


def test_reset_and_copies_start_their_own_count():
    features, labels = planted(80, 1.0, 0.0)
    metric = updated(features, labels, 2)
    expected = values(metric)
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.clone()):
        twin.reset()
        twin.update(2 * features[:40], labels[:40])
        assert values(twin) == pytest.approx(of_all_at_once(2 * features[:40], labels[:40]))
    assert values(metric) == expected


def test_forward_measures_the_batch_and_adds_it():
    features, labels = planted(90, 0.5, 0.0)
    metric = NeuralCollapse(4, 6)
    for h, y in zip(features.chunk(3), labels.chunk(3), strict=True):
        of_batch = {key: float(value) for key, value in metric(h, y).items()}
        assert of_batch == pytest.approx(of_all_at_once(h, y), rel=1e-9)
    assert values(metric) == pytest.approx(of_all_at_once(features, labels), rel=1e-9)


def test_stays_in_float64_inside_a_bfloat16_module():
    features, labels = planted(80, 1e-4, 100.0)
    module = nn.ModuleDict({"collapse": updated(features[:40], labels[:40], 1)}).to(torch.bfloat16)
    module["collapse"].update(features[40:], labels[40:])
    expected = of_all_at_once(features, labels)
    assert values(module["collapse"]) == pytest.approx(expected, rel=1e-9, abs=0)


def test_wrong_input_is_told():
    metric = NeuralCollapse(4, 6)
    with pytest.raises(ValueError, match="must have width 6, not 5"):
        metric.update(torch.ones(3, 5), torch.zeros(3).long())
    with pytest.raises(ValueError, match="NaN or Inf: class 2 in 1 of 1"):
        metric.update(torch.full((1, 6), torch.nan), torch.tensor([2]))
    metric.update(torch.ones(3, 6), torch.tensor([0, 1, 3]))
    with pytest.raises(ValueError, match="no samples of class 2"):
        metric.compute()
    with pytest.raises(ValueError, match="at least two classes"):
        NeuralCollapse(1, 6)


def test_the_example_in_the_docstring():
    assert doctest.testmod(metric_module).attempted > 0
    assert doctest.testmod(metric_module).failed == 0
