"""Recovery class by class: requested and found clusters."""

import numpy as np
import pytest
import torch

from collapse_lit.measure import recover


def planted(numbers: tuple[int, ...], n: int = 1500) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and coarse labels; ``numbers`` of far clusters in each coarse class."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(len(numbers), (n,), generator=generator)
    inside = torch.arange(n) % torch.tensor(numbers)[coarse]
    noise = torch.randn(n, 12, generator=generator)
    return noise + 8 * torch.eye(12)[inside] + 3 * torch.eye(12)[6 + coarse], coarse


def test_a_number_may_be_given_for_some_classes_and_estimated_for_others() -> None:
    x, coarse = planted((2, 3, 1))
    mixed = recover(x, coarse, [4, None, None])
    numbers, auto = recover(x, coarse, [4, 2, 2]), recover(x, coarse, "auto")
    assert mixed.k == (4, 3, 1)
    for c, other in enumerate((numbers, auto, auto)):
        assert torch.equal(mixed.classes[c].ids, other.classes[c].ids)
        assert torch.equal(mixed.classes[c].confidence, other.classes[c].confidence)
        assert mixed.separation_per_class[c] == other.separation_per_class[c]


def test_classes_are_objects_that_tell_what_the_whole_does() -> None:
    x, coarse = planted((1, 3, 2))
    index = torch.randperm(5 * len(x), generator=torch.manual_seed(0))[: len(x)]
    found = recover(x, coarse, [1, 3, 2], index=index)
    assert [c.coarse for c in found.classes] == [0, 1, 2]
    assert found.first_clusters == (0, 1, 4)
    for c in found.classes:
        assert torch.equal(c.index, index[coarse == c.coarse].sort().values)
        place = {sample: row for row, sample in enumerate(index.tolist())}
        rows = [place[sample] for sample in c.index.tolist()]
        assert torch.equal(found.ids[rows] - found.first_clusters[c.coarse], c.ids)
        for name in ("confidence", "margin", "xy"):
            assert torch.equal(getattr(found, name)[rows], getattr(c, name))
        assert c.sizes == found.sizes[found.cluster_to_coarse == c.coarse].tolist()
        assert found.space[c.coarse] == str(c.space)
        for name in ("separation", "stability", "silhouette"):
            assert getattr(found, f"{name}_per_class")[c.coarse] == getattr(c, name)
    assert found.stability == pytest.approx(np.mean([c.stability for c in found.classes]))
