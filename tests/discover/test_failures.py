"""The classifier's failures per cluster, worst first, with a warning if they are significant."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from collapse_lit.cli import main
from collapse_lit.discover import discover, find_failures, make_samples
from collapse_lit.discover.failures import difference, wilson


def answers(planted, wrong: int) -> list[str]:
    """Right answers, but the first ``wrong`` of the siamese cats are taken for dogs."""
    left = wrong
    given = []
    for label, fine in zip(planted.labels, planted.fine, strict=True):
        mistaken = fine == "siamese" and left > 0
        left -= mistaken
        given.append("dog" if mistaken else label)
    return given


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "clusters.json").read_text())


def test_intervals_are_the_published_ones() -> None:
    # Newcombe (1998): 81 of 263 by Wilson; 56 of 70 less 48 of 80 by method 10
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert difference(56, 70, 48, 80, 0.95) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert wilson(0, 5)[0] == 0.0


def test_a_cluster_that_fails_is_said_first(planted, capsys) -> None:
    planted.write(predicted=answers(planted, 60))
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "cat: the classifier is right on 60.0 % of cluster 1 and on 100.0 % of the rest" in said
    found = summary_of(out)
    worst, *others = found["failures"]["clusters"]
    assert (worst["cluster"], worst["class"], worst["accuracy"]) == (1, "cat", 0.6)
    assert worst["confusions"] == [{"class": "dog", "samples": 60}]
    assert worst["worse"]
    assert not any(other["worse"] for other in others)
    assert found["failures"]["accuracy"] == pytest.approx(390 / 450)
    page = (out / "report.html").read_text()
    assert page.index('href="#cluster-1"') < page.index('href="#cluster-0"')
    assert "dog 60" in page


def test_few_mistakes_are_chance(planted) -> None:
    planted.write(predicted=answers(planted, 8))  # 5.3 % of 150: below the rest, but not for sure
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--out", str(out)]) == 0
    assert not any(entry["worse"] for entry in summary_of(out)["failures"]["clusters"])


@pytest.mark.parametrize(
    ("answer", "warned"),
    [
        (lambda i, label: "cat", True),  # right on 300 of 450, but by guessing
        (lambda i, label: "dog" if i % 2 else "cat", True),
        (lambda i, label: "cat" if i % 5 < 2 else label, False),  # knows three of five dogs
        (lambda i, label: label, False),
    ],
)
def test_a_classifier_that_only_guesses_is_told(planted, capsys, answer, warned: bool) -> None:
    planted.write(predicted=[answer(i, label) for i, label in enumerate(planted.labels)])
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--k", "1", "--out", str(out)]) == 0
    said = "the classifier has hardly learnt its labels: its mean accuracy over the classes is 50.0"
    assert (said in capsys.readouterr().out) == warned
    assert (said in (out / "report.html").read_text()) == warned


def test_warnings_by_chance_are_rare() -> None:
    """A classifier that is right on 80 % whatever the cluster: 100 draws of ten small clusters."""
    generator = np.random.default_rng(0)
    warned = 0
    for _ in range(100):
        hits = generator.binomial(30, 0.8, size=10)
        for mine in hits:
            rest = int(hits.sum() - mine)
            warned += difference(int(mine), 30, rest, 270, 1 - 0.05 / 10)[1] < -0.05
    assert warned <= 2


@pytest.mark.parametrize("named", [False, True])
def test_predictions_come_from_a_file_of_their_own(planted, named: bool) -> None:
    given = answers(planted, 60)
    rows = [f"{i},{name},{0.5 if name == 'dog' else 0.1}" for i, name in enumerate(given)]
    header = "index,predicted,loss"
    if named:  # rows are found by their index
        rows.reverse()
    (planted.folder / "p.csv").write_text("\n".join([header, *rows]) + "\n")
    out = planted.folder / "found"
    extra = ["--predictions", str(planted.folder / "p.csv"), "--out", str(out)]
    assert main(["discover", *planted.files, *extra]) == 0
    worst = summary_of(out)["failures"]["clusters"][0]
    assert (worst["cluster"], worst["accuracy"]) == (1, 0.6)
    assert worst["loss"] == pytest.approx((60 * 0.5 + 90 * 0.1) / 150)


def test_probabilities_give_the_loss(planted) -> None:
    right = np.array([0 if label == "cat" else 1 for label in planted.labels])
    probability = np.full((450, 2), 0.25)
    probability[np.arange(450), right] = 0.75
    np.save(planted.folder / "p.npy", probability)
    out = planted.folder / "found"
    files = [*planted.files, "--predictions", str(planted.folder / "p.npy"), "--out", str(out)]
    assert main(["discover", *files]) == 0
    failures = summary_of(out)["failures"]
    assert failures["accuracy"] == 1.0
    assert failures["clusters"][0]["loss"] == pytest.approx(-np.log(0.75), abs=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("predicted\ncat\n", "it has 1 rows for 450 samples"),
        ("index,predicted\n" + "0,cat\n" * 450, "has duplicate values"),
        ("index,predicted\n0,cat\n", "449 of 450 samples are missing, such as 1"),
        ("predicted,loss\n" + "cat,nan\n" * 450, "the column 'loss' has NaN or infinite values"),
        ("predicted,loss\n" + "cat,low\n" * 450, "it cannot be read"),
        ("predicted\n" + "cow\n" * 450, "none of its classes is a class of the samples"),
    ],
)
def test_predictions_of_other_samples_are_refused(planted, content: str, said: str, capsys) -> None:
    (planted.folder / "p.csv").write_text(content)
    extra = ["--predictions", str(planted.folder / "p.csv"), "--out", str(planted.folder / "o")]
    assert main(["discover", *planted.files, *extra]) == 2
    assert said in capsys.readouterr().err


def test_unknown_predictions_are_left_out(planted) -> None:
    given = ["" if i % 2 else label for i, label in enumerate(planted.labels)]
    samples = make_samples(torch.from_numpy(planted.features), planted.labels, predicted=given)
    failures = find_failures(samples, discover(samples, {"cat": 2, "dog": 1}))
    assert failures is not None
    assert (failures.samples, failures.right) == (225, 225)
    assert sum(score.samples for score in failures.clusters) == 225
