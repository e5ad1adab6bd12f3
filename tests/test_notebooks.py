"""Every notebook runs from its first cell to its last, in time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 400
AT_ONCE = 2
"""Notebooks that run at a time: each waits for its kernel and its workers for much of it."""
RUN = """
import sys, nbformat, nbclient
path, folder, seconds = sys.argv[1:]
there = {"metadata": {"path": folder}}
nbclient.NotebookClient(nbformat.read(path, 4), timeout=int(seconds), kernel_name="python3", resources=there).execute()
"""


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook in processes of its own."""
    order = [sys.executable, "-c", RUN, str(path), str(path.parent), str(SECONDS)]
    return subprocess.run(order, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[Path, Future[subprocess.CompletedProcess[str]]]]:
    """Runs of the notebooks that are to be tested, begun in their order."""
    chosen = [item for item in request.session.items if item.name.startswith("test_notebook_runs[")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {path: pool.submit(run, path) for path in (item.callspec.params["path"] for item in chosen)}
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, runs: dict[Path, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = runs[path].result()
    assert done.returncode == 0, done.stderr[-4_000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_small_and_names_no_machine(path: Path) -> None:
    assert path.stat().st_size < 2**20
    text = path.read_text()
    assert not [word for word in (str(path.parents[1]), "site-packages", "Traceback") if word in text]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
