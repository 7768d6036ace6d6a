"""One, two and three processes recover the same clusters and fit the same probe."""

import numpy as np
import pytest
import torch
from torch import distributed as dist

from collapse_lit.measure import (
    cluster_and_linear_probe,
    fit_probe,
    match_clusters,
    random_clusters,
    recover,
    register_clusterer,
)
from collapse_lit.measure.linalg import principal_axes
from collapse_lit.measure.recovery import minimise, probe, residuals
from collapse_lit.measure.recovery.clusterers import nearest_mean

NUM_COARSE = 3


def planted():
    """Samples of three coarse classes of unlike size, two fine classes each; 24 features."""
    generator = torch.Generator().manual_seed(0)
    n = 1501  # divisible by neither 2 nor 3
    fine = torch.randint(9, (n,), generator=generator).clamp(max=5)
    means = torch.randn(6, 24, generator=generator)
    x = 10 + 1e-2 * (1.2 * means[fine] + torch.randn(n, 24, generator=generator))
    return x, fine % NUM_COARSE, fine, torch.arange(n)


def shard(rank, size, layout):
    """This rank's part: every size-th sample, or none on rank 0 and blocks elsewhere."""
    everything = planted()
    rows = everything[3]
    if layout == "strided" or size == 1:
        mine = rows % size == rank
    else:
        mine = (rank > 0) & (rows * (size - 1) // len(rows) == rank - 1)
    return tuple(part[mine] for part in everything)


def measured(rank, group, size, layout):
    x, coarse, fine, index = shard(rank, size, layout)
    found = recover(x, coarse, [2, 2, 2], seed=1, index=index, group=group)
    mixed = recover(x, coarse, [2, None, 3], seed=1, index=index, group=group)
    raw = recover(x, coarse, 2, index=index, group=group, space="raw/kmeans")
    matching = match_clusters(
        found.ids, fine, found.cluster_to_coarse, torch.arange(6) % NUM_COARSE, group=group
    )
    probe = fit_probe(x, fine, 6, group=group)
    x_all = planted()[0]
    return {
        "index": index,
        "ids": found.ids,
        "mixed": mixed.ids,
        "classes": [
            (c.coarse, str(c.space), c.k, c.index.tolist(), c.ids.tolist())
            for c in (*found.classes, *mixed.classes)
        ],
        "raw": raw.ids,
        "confidence": found.confidence,
        "xy": found.xy,
        "sizes": found.sizes.tolist(),
        "space": found.space,
        "stability": found.stability,
        "acc": matching.acc,
        "contingency": matching.contingency.tolist(),
        "random": random_clusters(index, coarse, 2, seed=0),
        "loss": probe.loss,
        "predicted": cluster_and_linear_probe(x, found.ids, x_all, group=group),
    }


@pytest.fixture(scope="module")
def alone():
    return measured(0, None, 1, "strided")


@pytest.mark.ddp
@pytest.mark.parametrize(("size", "layout"), [(2, "strided"), (3, "none on rank 0")])
def test_any_sharding_gives_the_same_result(run_on_ranks, alone, size, layout):
    ranks = run_on_ranks(measured, size, size, layout)
    together = {
        key: torch.cat([r[key] for r in ranks])
        for key in ("index", "ids", "mixed", "raw", "confidence", "xy", "random")
    }
    order = together["index"].argsort()
    for key in ("ids", "mixed", "raw", "random"):
        assert torch.equal(together[key][order], alone[key]), key
    for key in ("confidence", "xy"):
        assert torch.allclose(together[key][order], alone[key], atol=1e-4), key
    for r in ranks:
        for key in ("classes", "sizes", "space", "contingency", "acc"):
            assert r[key] == alone[key], key
        assert r["stability"] == pytest.approx(alone["stability"], abs=1e-6)
        assert r["loss"] == ranks[0]["loss"] == pytest.approx(alone["loss"], rel=1e-3)
        assert (r["predicted"] == alone["predicted"]).double().mean() > 0.999
    assert alone["acc"] > 0.9


def rows_received(rank, group):
    """How many rows of floats this rank was ever sent at once while k-means ran on raw features."""
    x, coarse, _, index = shard(rank, 2, "strided")
    received = [0]

    def counted(collective):
        def call(outputs, rows, *args, **kwargs):
            done = collective(outputs, rows, *args, **kwargs)
            if outputs and rows.is_floating_point() and rows.ndim == 2:
                received.append(sum(len(part) for part in outputs))
            return done

        return call

    dist.all_gather = counted(dist.all_gather)
    gather = dist.gather
    dist.gather = lambda rows, outputs, **kwargs: counted(lambda o, r: gather(r, o, **kwargs))(
        outputs, rows
    )
    found = recover(x, coarse, 2, index=index, group=group, space="raw/kmeans")
    own = [len(c.index) for c in found.classes]
    return max(received), own


@pytest.mark.ddp
def test_a_rank_gets_the_features_of_its_own_classes_alone(run_on_ranks):
    """Else every GPU holds those of the whole training set: 10 GB for ImageNet at d = 2,048."""
    results = run_on_ranks(rows_received, 2)
    sizes = results[0][1]
    assert sum(sizes) == 1501
    largest = max(sizes)  # it has a rank to itself
    received = sorted(most for most, _ in results)
    assert received == pytest.approx(sorted((largest, 1501 - largest)), abs=60)  # padding


def eigenvalue_problems(rank, group):
    """How many this rank solved, and what it heard where one fails on rank 1 alone."""
    x, coarse, _, index = shard(rank, 2, "strided")
    solve, solved = residuals.principal_axes, []

    def counted(matrix, wanted):
        solved.append(len(matrix))
        return solve(matrix, wanted)

    def failing(matrix, wanted):
        if rank == 1:
            raise np.linalg.LinAlgError("did not converge")
        return solve(matrix, wanted)

    residuals.principal_axes = counted
    recover(x, coarse, 2, index=index, group=group, space="white8/kmeans")
    residuals.principal_axes = failing
    try:
        recover(x, coarse, 2, index=index, group=group, space="white8/kmeans")
    except Exception as error:
        return len(solved), (type(error), str(error))


@pytest.mark.ddp
def test_ranks_share_out_the_eigenvalue_problems(run_on_ranks):
    """Each costs d³: 1.2 s at d = 2,048, and 100 coarse classes have one in each space."""
    (two, others), (one, own) = run_on_ranks(eigenvalue_problems, 2)
    assert (two, one) == (2, 1)  # of three classes
    assert own == (np.linalg.LinAlgError, "did not converge")
    assert others[0] is ValueError
    assert "rank 1 could not find the axes of its coarse classes" in others[1]


def of_unlike_processors(rank, group):
    """What a rank measures whose own LAPACK and L-BFGS would say something else."""
    if rank == 1:

        def no_axes(*args):
            return tuple(torch.zeros_like(part) for part in principal_axes(*args))

        def no_steps(*args, **kwargs):
            raise AssertionError("only the first rank takes steps")

        probe.principal_axes = no_axes
        minimise.minimize = no_steps
    x, _, fine, _ = shard(rank, 2, "strided")
    fitted = fit_probe(x, fine, 6, group=group)
    return fitted.loss, fitted.weight


def failing_steps(rank, group):
    """What this rank hears where the first rank's steps end in an error."""

    def broken(evaluate, start, **kwargs):
        evaluate(start)
        raise RuntimeError("no descent")

    minimise.minimize = broken
    x, _, fine, _ = shard(rank, 2, "strided")
    try:
        fit_probe(x, fine, 6, group=group)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.ddp
def test_a_probe_that_fails_on_the_first_rank_fails_on_all(run_on_ranks):
    own, others = run_on_ranks(failing_steps, 2)
    assert own == (RuntimeError, "no descent")
    assert others[0] is ValueError
    assert "the first rank could not fit the probe" in others[1]


@pytest.mark.ddp
def test_ranks_on_unlike_processors_measure_the_same(run_on_ranks, alone):
    (loss, weight), (other_loss, other_weight) = run_on_ranks(of_unlike_processors, 2)
    assert loss == other_loss == pytest.approx(alone["loss"], rel=1e-3)
    assert torch.equal(weight, other_weight)


def breaks_on_one_rank(rank, group):
    """The errors on this rank where a clusterer, or the estimate, fails on one rank alone."""
    x, coarse, _, index = shard(rank, 2, "strided")

    @register_clusterer("broken")
    def broken(points, start, k, everywhere, seed):
        if rank == 1:
            raise RuntimeError("out of order")
        return nearest_mean(points, start, k, everywhere, seed)

    errors = []
    for space, k in (("raw/broken", 2), ("raw/kmeans", [2, None, 2])):
        try:
            recover(x, coarse, k, index=index, group=group, space=space)
        except Exception as error:
            errors.append((type(error), str(error)))
    return errors


@pytest.mark.ddp
def test_what_fails_on_one_rank_is_raised_on_all(run_on_ranks):
    (others, estimate), (own, same) = run_on_ranks(breaks_on_one_rank, 2)
    assert own == (RuntimeError, "out of order")
    assert others[0] is ValueError
    assert "rank 1 could not cluster its coarse classes: RuntimeError('out of order')" in others[1]
    assert estimate == same
    assert "needs a whitened space" in estimate[1]


def mistakes(rank, group):
    """The message on this rank for mistakes that one rank alone makes."""
    messages = []
    x, coarse, fine, index = shard(rank, 2, "strided")
    broken = x.clone()
    if rank == 1:
        broken[0] = torch.nan
    for attempt in (
        lambda: recover(broken, coarse, 2, index=index, group=group),
        lambda: recover(x, coarse, 2, index=index // 2 * 2, group=group),
        lambda: fit_probe(broken, fine, 6, group=group),
        lambda: fit_probe(x, fine + 3 * rank, 6, group=group),
    ):
        try:
            attempt()
        except ValueError as error:
            messages.append(str(error))
    return messages


@pytest.mark.ddp
def test_ranks_raise_together(run_on_ranks):
    first, second = run_on_ranks(mistakes, 2)
    assert first == second
    assert len(first) == 4
