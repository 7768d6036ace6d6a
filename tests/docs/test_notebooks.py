"""The notebooks run from top to bottom, and are stored with their output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs/notebooks"
SHORTER = {"epochs = 10": "epochs = 1", "steps = 400": "steps = 150"}


@pytest.mark.parametrize("name", ["quickstart", "own_classifier"])
@pytest.mark.filterwarnings("default")  # of what runs a notebook; its own are in its process
def test_a_notebook_runs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any(output.output_type == "display_data" for output in shown), "execute it, and save it"
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    changed = [first.source.replace(long, short) for long, short in SHORTER.items()]
    (first.source,) = [source for source in changed if source != first.source]
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()  # raises what a cell raises
