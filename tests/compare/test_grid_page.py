"""The page of a grid: both choices are marked, and each cell links to its page."""

import re
from pathlib import Path

from example_run import write_run

from collapse_lit.compare.grid_page import write_grid_page
from collapse_lit.compare.grid_rows import read_cells

NAMES = ["lr_1-x_<b>", "lr_1-x_2", "lr_2-x_<b>", "lr_2-x_2"]


def test_every_cell_with_a_page_is_linked_and_both_choices_are_marked(tmp_path: Path) -> None:
    for name in NAMES[:3]:
        write_run(tmp_path / name, snapshots=())
    for name in (NAMES[0], NAMES[2]):
        (tmp_path / name / "report.html").touch()
    rows = read_cells(tmp_path, NAMES)
    write_grid_page(tmp_path, rows, NAMES, {"model.lr": [1, 2], "data.x": ["<b>", 2]})
    page = (tmp_path / "report.html").read_text()
    assert "3 of 4 cells measured" in page
    assert set(re.findall(r'<td><a href="([^"]*)"', page)) == {
        "./lr_1-x_%3Cb%3E/report.html",
        "./lr_2-x_%3Cb%3E/report.html",
    }
    assert "<td>lr_1-x_2</td>" in page
    assert re.findall(r'<tr class="marked"><td>.*?</td><td>(.)', page) == ["●"]  # and ★: both
    assert page.count('class="chart"') == 2
    assert "<b>" not in page.split("<body>")[1].split("<figure")[0]


def test_a_sweep_over_one_option_has_a_table(tmp_path: Path) -> None:
    write_run(tmp_path / "lr_1", snapshots=())
    rows = read_cells(tmp_path, ["lr_1"])
    write_grid_page(tmp_path, rows, ["lr_1"], {"model.lr": [1]})
    page = (tmp_path / "report.html").read_text()
    assert "lr_1" in page
    assert 'class="chart"' not in page
