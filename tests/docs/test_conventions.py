"""docs/conventions.md shows the output of its script."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conventions.md").read_text()
spec = importlib.util.spec_from_file_location("conventions", ROOT / "benchmarks/conventions.py")
conventions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conventions)


def tables(text: str) -> list[list[list[str]]]:
    """All tables of a page, each a list of rows of cells."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[c.strip() for c in row.strip("|").split("|")] for row in t.splitlines()] for t in found
    ]


@pytest.mark.parametrize(("number", "counts"), [(1, "BALANCED"), (2, "UNBALANCED")])
def test_the_tables_are_what_the_script_prints(number: int, counts: str, capsys) -> None:
    conventions.definitions(getattr(conventions, counts))
    printed, shown = tables(capsys.readouterr().out)[0], tables(PAGE)[number]
    assert [row[0] for row in printed] == [row[0] for row in shown]
    for row, on_page in zip(printed[2:], shown[2:], strict=True):
        for cell, other in zip(row[1:], on_page[1:], strict=True):
            assert cell == other or float(cell) == pytest.approx(float(other), rel=1e-4)


def test_only_ours_is_the_same_in_float32_near_collapse() -> None:
    single, double = conventions._both(conventions.UNBALANCED, 1e-5, 0)
    off = {
        name: abs(code(*single)[key] / code(*double)[key] - 1)
        for name, code in conventions.CODES.items()
        for key in (("cdnv",) if "CDNV" in name else ("nc1",))
    }
    assert off["ours"] < 1e-9
    assert off["nc-toolbox"] > 1e3
    assert off["Zhu et al."] > 0.1
    assert off["CDNV by moments"] > 1
