"""The summary values for W&B's table of runs."""

from collapse_lit.tracking.wandb_summary import HEADLINE, summary_values

HISTORY = [
    {"epoch": 0, HEADLINE: 0.5, "recovery/separation": 0.1},
    {"epoch": 1, HEADLINE: 0.7, "recovery/separation": 0.9, "recovery/space": ["raw/gmm"]},
    {"epoch": 2, HEADLINE: 0.9, "recovery/separation": 0.5},
    {"epoch": 3, HEADLINE: 0.6, "recovery/separation": 0.4},
]
IDENTITY = {"git_commit": "abc", "seed": 3, "versions": {"torch": "2.0"}, "python": "3.11.7"}


def test_the_chosen_the_best_and_the_last_epoch_are_told_apart() -> None:
    found = summary_values(HISTORY, {})
    assert (found["selected/epoch"], found[f"selected/{HEADLINE}"]) == (1, 0.7)
    assert (found["oracle_best/epoch"], found[f"oracle_best/{HEADLINE}"]) == (2, 0.9)
    assert (found["last/epoch"], found[f"last/{HEADLINE}"]) == (3, 0.6)
    assert found["selected/recovery/space"] == "raw/gmm"


def test_who_the_run_is() -> None:
    assert summary_values([], IDENTITY, ["paper", "wide"]) == {
        **{"commit": "abc", "seed": 3, "versions/torch": "2.0", "versions/python": "3.11.7"},
        "tags": "paper, wide",
    }


def test_without_fine_labels_no_best_is_claimed() -> None:
    found = summary_values([{"epoch": 0, "recovery/separation": 0.1}], {"git_commit": None})
    assert found == {"selected/epoch": 0, "selected/recovery/separation": 0.1}
