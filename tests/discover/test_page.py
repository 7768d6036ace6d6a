import torch

from collapse_lit.discover import Discovery, SubClasses
from collapse_lit.discover.page import FEWEST, POINTS, points_shown


def found_in(*sizes: int) -> Discovery:
    """Classes of these sizes, one cluster each."""
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    classes = [
        SubClasses(
            *(place, torch.arange(start, start + n), torch.zeros(n, dtype=torch.int64)),
            *(torch.ones(n), torch.ones(n), torch.zeros(n, 2), 1, None, "raw", 0.0, 1.0, 0.0),
        )
        for place, (start, n) in enumerate(zip(starts, sizes, strict=True))
    ]
    return Discovery(tuple(classes), seed=0)


def numbers(found: Discovery) -> list[int]:
    return [len(points_shown(found, classes)) for classes in found.classes]


def test_points_are_shared_among_classes_but_a_small_one_is_seen() -> None:
    assert numbers(found_in(30, 9970)) == [30, 1994]
    assert numbers(found_in(500, 99500)) == [FEWEST, 1990]
    assert numbers(found_in(10, 20)) == [10, 20]


def test_many_classes_do_not_make_a_page_that_cannot_be_opened() -> None:
    assert sum(numbers(found_in(*[1000] * 400))) == POINTS
