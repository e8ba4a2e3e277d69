"""The notebooks of `examples/` run from top to bottom, in a kernel of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fenced import ROOT

pytestmark = pytest.mark.long

NOTEBOOKS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert [cell.execution_count for cell in cells] == list(range(1, 1 + len(cells)))
    shown = [kind for cell in cells for out in cell.outputs for kind in out.get("data", {})]
    assert "text/html" in shown  # tables
    assert "image/svg+xml" in shown  # charts


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
