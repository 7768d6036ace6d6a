from collapse_lit.measure.selection import select_epoch


def row(epoch: int, separation: float | None) -> dict:
    return {"epoch": epoch, "recovery/separation": separation, "recovery/space": [f"white{epoch}"]}


def test_the_best_separated_epoch_is_chosen_and_of_equal_ones_the_latest() -> None:
    found = select_epoch([row(0, 0.1), row(1, 0.3), row(2, 0.3), row(3, 0.2), row(4, None)])
    assert found is not None
    assert (found["epoch"], found["space"], found["separation"]) == (2, ["white2"], 0.3)


def test_there_is_no_choice_without_a_score() -> None:
    assert select_epoch([]) is None
    assert select_epoch([{"epoch": 0, "collapse/nc1": 1.0}, row(1, None)]) is None
