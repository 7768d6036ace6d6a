import numpy as np
import pytest
import torch
from PIL import Image

from collapse_lit.cli import main
from collapse_lit.discover import Discovery, SubClasses
from collapse_lit.discover.gallery import extremes
from collapse_lit.discover.page import FEWEST, POINTS, points_shown
from collapse_lit.measure import Recovery, Space


def class_of(coarse: int, index: torch.Tensor) -> SubClasses:
    """One cluster of these samples."""
    n = len(index)
    return SubClasses(
        coarse=coarse,
        index=index,
        ids=torch.zeros(n, dtype=torch.int64),
        confidence=torch.ones(n),
        margin=torch.ones(n),
        xy=torch.zeros(n, 2),
        space=Space.parse("raw/kmeans"),
        k=1,
        separation=0.0,
        stability=1.0,
        silhouette=0.0,
        valleys=(1.0,),
        parents=(0,),
        asked=None,
    )


def found_in(*sizes: int) -> Discovery:
    """Classes of these sizes, one cluster each."""
    rows = torch.arange(sum(sizes))
    classes = tuple(class_of(coarse, part) for coarse, part in enumerate(rows.split(sizes)))
    return Discovery(Recovery.of(classes, rows), classes, seed=0)


def numbers(found: Discovery) -> list[int]:
    return [len(points_shown(found, classes)) for classes in found.classes]


def test_points_are_shared_among_classes_but_a_small_one_is_seen() -> None:
    assert numbers(found_in(30, 9970)) == [30, 1994]
    assert numbers(found_in(500, 99500)) == [FEWEST, 1990]
    assert numbers(found_in(10, 20)) == [10, 20]


def test_many_classes_do_not_make_a_page_that_cannot_be_opened() -> None:
    assert sum(numbers(found_in(*[1000] * 400))) == POINTS


@pytest.mark.parametrize(
    ("margin", "certain", "uncertain"),
    [
        ([1.0, 0.5, 1.0, 0.2], [2, 0], [3, 1]),
        ([1.0, 1.0, 0.9], [1, 0], [2]),  # ties: no sample is at both ends
        ([1.0, 1.0, 1.0], [], []),
        ([1.0], [], []),
        ([], [], []),
    ],
)
def test_no_sample_is_both_most_and_least_certain(margin, certain, uncertain) -> None:
    most, least = extremes(np.ones(len(margin), np.float32), np.array(margin, np.float32))
    assert (most.tolist(), least.tolist()) == (certain, uncertain)


def test_names_may_be_typed_in_the_page(planted) -> None:
    planted.labels = [f'{label}"<img src=x onerror=alert(1)>' for label in planted.labels]
    (planted.folder / "a b").mkdir()
    Image.new("RGB", (4, 4)).save(planted.folder / "a b" / "javascript:1.png")
    planted.write(path=[str(planted.folder / "a b/javascript:1.png")] * 450)
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--k", "1", "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert page.count('<input class="name"') == 2
    assert 'data-cluster="1" data-coarse="dog&#34;&lt;img src=x onerror=alert(1)&gt;"' in page
    assert 'data-size="150"' in page
    assert page.count('<a href="../a%20b/javascript%3A1.png">') >= 450  # every sample is listed
    assert "all 300 samples, least certain first" in page
