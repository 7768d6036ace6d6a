from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from collapse_lit.discover import SubClasses, agree, discover, discovery, make_samples
from collapse_lit.errors import UserError
from collapse_lit.measure import Space, recover


def samples_of(planted, fine: list[str] | None = None):
    return make_samples(torch.from_numpy(planted.features), planted.labels, fine)


def test_two_are_found_where_two_are_planted(planted) -> None:
    found = discover(samples_of(planted))
    cat, dog = found.classes
    assert (cat.k, cat.verdict) == (2, "distinct")
    assert (dog.k, dog.verdict) == (1, "one")
    assert dog.sentences == ("no sub-structure found",)
    assert found.cluster_to_coarse.tolist() == [0, 0, 1]
    clusters = [
        set(found.ids[np.array(planted.fine) == name].tolist()) for name in planted.fine[:3]
    ]
    assert clusters == [{0}, {1}, {2}]  # numbered by their first sample
    assert len(found.confidence) == len(found.margin) == len(planted.labels)
    assert found.confidence.min() > 0.9


def test_numbers_may_be_asked_for_by_name(planted) -> None:
    samples = samples_of(planted)
    found = discover(samples, {"dog": 3})
    assert [classes.k for classes in found.classes] == [2, 3]
    assert found.ids[samples.coarse == 1].unique().tolist() == [2, 3, 4]
    dog = found.classes[1]
    assert dog.verdict == "doubtful"
    assert "doubtful" in dog.sentences[0]
    assert [classes.k for classes in discover(samples, 1).classes] == [1, 1]
    assert discover(samples, 1).classes[0].sentences == ("one cluster, as requested",)


def test_all_classes_are_looked_into_at_once(planted, monkeypatch) -> None:
    asked = []

    def recorded(features, coarse, k, **more):
        asked.append(k)
        return recover(features, coarse, k, **more)

    monkeypatch.setattr(discovery, "recover", recorded)
    found = discover(samples_of(planted), {"dog": 3})
    assert asked == [[None, 3]]
    assert [classes.asked for classes in found.classes] == [None, 3]


def test_one_class_alone_is_found_as_among_others(planted) -> None:
    samples = samples_of(planted)
    together, apart = discover(samples, 2), discover(samples, {"cat": 2})
    assert torch.equal(together.classes[0].ids, apart.classes[0].ids)


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (500, "cannot make 500 clusters of class cat, which has 300 samples"),
        ({"dog": 200}, "class dog, which has 150"),
        ({"cow": 2}, "unknown class cow; the classes are cat, dog"),
        ("three", "'three' is not a number of clusters"),
        (0, "0 is not a number"),
        (2.5, "2.5 is not a number"),
        ({"cat": [2]}, r"\[2\] is not a number"),
    ],
)
def test_a_wrong_number_is_one_message(planted, k, said: str) -> None:
    with pytest.raises(UserError, match=said):
        discover(samples_of(planted), k)


def classes_of(ids: list[int], valley: float = 0.001, **scores: float) -> SubClasses:
    n = len(ids)
    scores = {"separation": 1.0, "stability": 1.0, "silhouette": 0.5} | scores
    return SubClasses(
        coarse=0,
        index=torch.arange(n),
        ids=torch.tensor(ids),
        confidence=torch.ones(n),
        margin=torch.ones(n),
        xy=torch.stack([torch.tensor(ids) * 10.0, torch.arange(n) % 2], dim=1),
        space=Space.parse("white2/gmm"),
        k=max(ids) + 1,
        valleys=(valley,) * (max(ids) + 1),
        parents=tuple(range(max(ids) + 1)),
        asked=None,
        **scores,
    )


def test_clusters_with_a_valley_around_each_are_distinct() -> None:
    assert classes_of([0, 1] * 20).verdict == "distinct"
    assert classes_of([0, 1] * 20).sentences == ()
    unlike = classes_of([0] * 36 + [1] * 4, separation=-0.1, stability=0.6)  # sizes, not doubts
    assert unlike.verdict == "distinct"
    assert classes_of([0, 1] * 20, stability=0.3).verdict == "doubtful"


def test_what_was_cut_in_pieces_is_gradual() -> None:
    pieces = classes_of([0, 1] * 20, valley=0.2)
    assert pieces.verdict == "gradual"
    assert "no valley of density around any of its clusters" in pieces.sentences[0]
    one_of_three = replace(classes_of([0, 1, 2] * 20), valleys=(0.001, 0.2, 0.001))
    assert "around 1 of its clusters" in one_of_three.sentences[0]


def test_doubts_are_said() -> None:
    joined = partial(classes_of, valley=0.2)
    assert "no better than one (separation -0.10" in joined([0, 1] * 20, separation=-0.1).doubts[0]
    assert "agree only to 0.49" in joined([0, 1] * 20, stability=0.49).doubts[0]
    assert joined([0, 1] * 20, stability=0.49).verdict == "doubtful"
    assert "very small: cluster sizes [39, 1]" in classes_of([0] * 39 + [1]).cautions[0]
    assert "found in only 4 samples" in classes_of([0, 1] * 2).doubts[0]
    assert classes_of([0] * 4).cautions == ("too few samples for a verdict: 4 (below 32)",)
    assert classes_of([0] * 40).verdict == "one"


def test_silhouettes_by_hand() -> None:
    # inside a cluster the mean distance to the others is 2/3, to the other cluster about 10
    values = classes_of([0] * 4 + [1] * 4).silhouettes()
    assert values == pytest.approx([1 - (2 / 3) / 10.025, 1 - (2 / 3) / 10.025], abs=1e-3)
    assert classes_of([0, 0, 0]).silhouettes() == [None]


def test_agreement_counts_known_samples_only(planted) -> None:
    some = [name if i < 60 else "" for i, name in enumerate(planted.fine)]
    some[0] = "siamese"  # a wrong label, of 60
    samples = samples_of(planted, some)
    scores = agree(samples, discover(samples))
    assert scores is not None
    assert (scores.known, scores.total) == (60, 450)
    assert scores.accuracy == pytest.approx(59 / 60)
    assert scores.matched == (("tabby", 19 / 20), ("siamese", 1.0), ("dog", 1.0))
    assert 0.5 < scores.floor < 0.85  # a third is certain, the rest is a coin with 40 tosses
    assert scores.ceiling is not None
    assert scores.ceiling > 0.9


def test_no_fine_label_no_agreement(planted) -> None:
    samples = samples_of(planted)
    found = discover(samples, 1)
    assert agree(samples, found) is None
    scores = agree(samples_of(planted, ["x", *[""] * 449]), found)
    assert scores is not None
    assert scores.accuracy == 1.0
    assert scores.ceiling is None
