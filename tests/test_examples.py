import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_monitors_work_in_a_project_that_knows_nothing_of_them(capsys) -> None:
    spec = importlib.util.spec_from_file_location("own_project", EXAMPLES / "own_project.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    logged = example.main(epochs=5)
    assert logged["train/acc_coarse"] > 0.9
    assert 0 < logged["collapse/nc1"] < 1
    assert logged["recovery/floor"] < 0.65 < logged["recovery/probe_test"]
