from collapse_lit.measure.recovery.epoch import select_epoch


def row(epoch: int, separation: float | None) -> dict:
    return {"epoch": epoch, "recovery/separation": separation, "recovery/space": [f"white{epoch}"]}


def test_the_best_separated_epoch_is_chosen_and_of_those_alike_the_earliest() -> None:
    rows = [row(0, 0.1), row(1, 0.3), row(2, 0.31), row(3, 0.2), row(4, None)]
    found = select_epoch(rows)
    assert found is not None
    assert (found["epoch"], found["space"], found["separation"]) == (1, ["white1"], 0.3)


def test_an_epoch_no_better_than_an_unstructured_class_is_none() -> None:
    gaussian, torn = row(0, -0.19), row(1, 0.5) | {"recovery/stability": 0.3}
    assert select_epoch([gaussian, torn]) is None
    found = select_epoch([gaussian, torn, row(2, -0.1) | {"recovery/stability": 0.9}])
    assert found is not None
    assert found["epoch"] == 2


def test_there_is_no_choice_without_a_score() -> None:
    assert select_epoch([]) is None
    assert select_epoch([{"epoch": 0, "collapse/nc1": 1.0}, row(1, None)]) is None


def test_an_epoch_whose_clusters_cannot_be_found_again_is_not_chosen() -> None:
    sharp = row(1, 1.3) | {"recovery/stability": 0.1}
    sound = row(0, 0.4) | {"recovery/stability": 0.9}
    found = select_epoch([sound, sharp])
    assert found is not None
    assert found["epoch"] == 0


def test_of_equally_sound_epochs_the_one_that_knows_more_test_images_is_chosen() -> None:
    early = row(0, 0.62) | {"test/acc_coarse": 0.66}
    late = row(1, 0.60) | {"test/acc_coarse": 0.89}
    found = select_epoch([early, late])
    assert found is not None
    assert found["epoch"] == 1
