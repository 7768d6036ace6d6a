"""Any channel axis gives one row of features per sample, or a clear error."""

import pytest
import torch
from torch import nn

from collapse_lit.errors import UserError
from collapse_lit.reading.activations import LastLayer, rows_of
from collapse_lit.reading.layers import decisions

N = 3


def filled(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size((N, *shape)).numel())).reshape(N, *shape)


@pytest.mark.parametrize(
    ("module", "side", "shape", "means"),
    [
        (nn.Linear(4, 2), "into", (4,), ()),
        (nn.Linear(4, 2), "into", (4, 1, 1), (2, 3)),
        (nn.Conv2d(4, 2, 1), "into", (4, 5, 5), (2, 3)),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
            "into",
            (4, 5, 5),
            (2, 3),
        ),
        (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)), "into", (5, 5, 4), (1, 2)),
        (
            nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
            "out of",
            (4, 4, 4),
            (2, 3),
        ),
        (nn.Conv1d(2, 4, 1), "out of", (4, 9), (2,)),
        (nn.Conv3d(2, 4, 1), "out of", (4, 2, 3, 4), (2, 3, 4)),
        (nn.LayerNorm(4), "out of", (7, 4), (1,)),
        (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 6)), "out of", (5, 5, 6), (1, 2)),
        (nn.TransformerEncoderLayer(4, 1, 8), "out of", (7, 4), (1,)),
        (nn.AdaptiveAvgPool2d(2), "out of", (4, 2, 2), (2, 3)),
    ],
)
def test_positions_are_averaged_and_channels_are_not(module, side, shape, means) -> None:
    activation = filled(*shape)
    expected = activation.mean(means) if means else activation
    assert torch.equal(rows_of(activation, module, "layer", side, N), expected.flatten(1))


def test_a_map_laid_out_against_the_habit_of_its_last_layer_is_told_by_its_width() -> None:
    """A ConvNeXt block ends with a linear layer and turns its output back to channels first."""
    block = nn.Sequential(nn.Conv2d(6, 6, 3), nn.LayerNorm(6), nn.Linear(6, 6))
    activation = filled(6, 5, 5)
    assert torch.equal(rows_of(activation, block, "block", "out of", N), activation.mean((2, 3)))


def test_a_head_that_flattens_a_map_has_all_of_it_for_features() -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 5 * 5, 2))
    assert torch.equal(
        rows_of(filled(4, 5, 5), head, "head", "into", N), filled(4, 5, 5).flatten(1)
    )


@pytest.mark.parametrize(
    ("module", "side", "activation", "said"),
    [
        (nn.Linear(4, 2), "into", filled(7, 4), "many positions"),
        (nn.ReLU(), "out of", filled(4, 4, 4), "the channel axis is unknown"),
        (nn.Identity(), "out of", filled(7, 4), "the channel axis is unknown"),
        (nn.Linear(4, 2), "into", filled(4)[:2], "one row per sample"),
        (nn.Linear(4, 2), "into", filled(4).long(), "not a tensor of floating-point"),
        (nn.Linear(4, 2), "into", {"h": filled(4)}, "is dict"),
        (nn.Linear(4, 2), "into", torch.ones(N), "one row per sample"),
    ],
)
def test_what_has_no_one_row_a_sample_is_refused(module, side, activation, said) -> None:
    with pytest.raises(UserError, match=f"layer 'there'.*{said}"):
        rows_of(activation, module, "there", side, N)


def test_a_linear_layer_is_one_whose_output_is_wh_plus_b() -> None:
    class Cosine(nn.Linear):
        def forward(self, h):
            return nn.functional.normalize(h) @ self.weight.T

    plain = nn.Linear(3, 2)
    linear = [plain, nn.Sequential(nn.Dropout(), plain, nn.Identity()), torch.compile(plain)]
    linear.append(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    others = [Cosine(3, 2), nn.Sequential(plain, nn.ReLU()), nn.Conv2d(3, 2, 1), nn.ReLU()]
    found = [LastLayer.of(module).outputs for module in (*linear, *others)]
    assert found == [2] * 4 + [None] * 4
    assert torch.equal(LastLayer.of(linear[1]).weight, plain.weight)


def test_what_is_kept_is_not_what_the_network_goes_on_with() -> None:
    activation = filled(4)
    rows = rows_of(activation, nn.Linear(4, 2), "layer", "into", N)
    activation.neg_()
    assert torch.equal(rows, -activation)


def test_decisions_are_the_largest_logit_or_the_sign_of_one() -> None:
    assert decisions(torch.tensor([[0.0, 2, 1], [3, 2, 1]]), 2).tolist() == [1, 0]
    assert decisions(torch.tensor([[-1.0], [1]]), 2).tolist() == [0, 1]
    for nothing in (
        torch.ones(2, 3, 4),
        torch.ones(3),
        torch.ones(3, 2),
        {"logits": 1},
        torch.ones(2, 2).long(),
    ):
        assert decisions(nothing, 2) is None
