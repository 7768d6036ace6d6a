import importlib.util
import shutil
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


def test_the_page_of_results_says_what_its_runs_say(tmp_path: Path) -> None:
    """Rebuilt from the kept runs alone, it is the page that lies beside them, to the letter."""
    copy = tmp_path / "results"
    shutil.copytree(RESULTS, copy, ignore=shutil.ignore_patterns("README.md", "figures"))
    spec = importlib.util.spec_from_file_location("build", copy / "build.py")
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    builder.build()
    assert (copy / "README.md").read_text() == (RESULTS / "README.md").read_text()
    pictures = {path.name for path in (RESULTS / "figures").iterdir()}
    assert {path.name for path in (copy / "figures").iterdir()} == pictures
