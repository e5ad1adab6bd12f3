"""Every notebook runs from its first cell to its last, in time."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 400


@pytest.mark.timeout(SECONDS)
@pytest.mark.filterwarnings("default")  # of the machinery that runs the kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    there = {"metadata": {"path": path.parent}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=there).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_small_and_names_no_machine(path: Path) -> None:
    assert path.stat().st_size < 2**20
    text = path.read_text()
    assert not [word for word in (str(path.parents[1]), "site-packages", "Traceback") if word in text]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
