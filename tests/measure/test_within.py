"""Dividing a cluster again: finer splits behind a clear split."""

import numpy as np
import torch

from collapse_lit.measure.recovery.within import recover_within, subclass_tree


def bags_beside_shoes() -> tuple[torch.Tensor, np.ndarray]:
    """600 bags far from 600 shoes, in which two kinds lie 10 standard deviations apart."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [600, 300, 300])
    x = rng.normal(size=(1200, 16))
    x[:, 0] += 60 * (kind > 0)
    x[:, 1] += 10 * (kind == 2)
    return torch.from_numpy(x).float(), kind


def test_a_cluster_divides_when_it_is_looked_into_alone() -> None:
    x, kind = bags_beside_shoes()
    shoes = torch.from_numpy(np.flatnonzero(kind > 0)).flip(0)
    found = recover_within(x, shoes)
    assert found.k == 2
    assert found.distinct
    assert torch.equal(found.index, shoes.sort().values)
    same = (found.ids.numpy() == kind[found.index] - 1).mean()
    assert max(same, 1 - same) > 0.99


def test_the_tree_ends_where_nothing_is_distinct() -> None:
    x, kind = bags_beside_shoes()
    leaves = list(subclass_tree(x).leaves)
    assert sorted(len(leaf.rows) for leaf in leaves) == [300, 300, 600]
    for leaf in leaves:
        assert len(np.unique(kind[leaf.rows])) == 1
        assert leaf.found is not None
        assert leaf.found.k == 1
    few = subclass_tree(x, torch.arange(20))
    assert few.found is None
    assert list(few.leaves) == [few]
