import shutil
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"


def test_the_page_of_results_says_what_its_runs_say(tmp_path: Path) -> None:
    """Rebuilt from the kept runs alone, it is the page that lies beside them, to the letter."""
    copy = tmp_path / "results"
    shutil.copytree(RESULTS, copy, ignore=shutil.ignore_patterns("README.md", "figures"))
    subprocess.run([sys.executable, copy / "build.py"], check=True)
    assert (copy / "README.md").read_text() == (RESULTS / "README.md").read_text()
    pictures = {path.name for path in (RESULTS / "figures").iterdir()}
    assert {path.name for path in (copy / "figures").iterdir()} == pictures
