"""The content of the wheel, and its version."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import yaml

import collapse_lit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_all_files_of_the_package_are_in_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["collapse_lit"]
    package = ROOT / "collapse_lit"
    files = [path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()]
    data = [name for name in files if not name.endswith((".py", ".pyc"))]
    assert data
    assert [name for name in data if not any(fnmatch(name, p) for p in patterns)] == []


def test_the_version_stands_in_one_place_and_in_the_changelog() -> None:
    assert "version" not in PROJECT["project"]
    assert f"## {collapse_lit.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_can_be_read_and_names_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["references"][0]["url"] in (ROOT / "README.md").read_text()


def test_workflow_and_templates_can_be_read() -> None:
    for file in (ROOT / ".github").rglob("*.yml"):
        assert isinstance(yaml.safe_load(file.read_text()), dict), file
    steps = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.search(r"run: bash \.ci/run$", steps, re.MULTILINE)
