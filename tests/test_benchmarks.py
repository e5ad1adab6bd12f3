"""Every benchmark runs, at toy size, and what does not depend on speed holds there."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from distributed import Client

from benchmarks import (
    adaptive,
    beyond,
    blocks,
    features,
    figure,
    large,
    linear,
    memory,
    opaque,
    parameter_server,
    partition,
    preparation,
    recommendation,
    search,
    sparse,
    trust,
    unsupervised,
)
from benchmarks.program import Setting
from benchmarks.race import table

NEED_PEER = {
    "logistic": "dask_ml",
    "least-squares": "dask_ml",
    "categories": "glum",
    "components": "dask_ml",
    "amounts": "glum",
    "repeats": "glum",
    "language-l1": "wordfreq",
    "language-search": "wordfreq",
    "language-sgd": "wordfreq",
    "languages-l1": "wordfreq",
    "language": "wordfreq",
    "languages": "wordfreq",
    "ratings": "pyspark",
    "views": "implicit",
    "text": "wordfreq",
}
WORKS = {
    **linear.WORKS,
    **preparation.WORKS,
    **partition.WORKS,
    **search.WORKS,
    **opaque.WORKS,
    **adaptive.WORKS,
    **blocks.WORKS,
    **parameter_server.WORKS,
    **sparse.WORKS,
    **unsupervised.WORKS,
    **recommendation.WORKS,
    **features.WORKS,
}
LIKE_ANOTHER = {
    "calls",
    "keyed",
    "languages",
    "languages-l1",
    "loop",
    "many",
    "ridge-search",
    "selection",
    "shared",
    "shuffled",
    "skewed",
    "slowed",
    "spectral",
    "square-components",
    "wrapped",
}
"""Works that take long even at toy size, where others of their module are run."""
TOY = Setting(scale=0.001, repeat=1)
LOOSE = 5
"""A thousand rows are at the same tolerance a little farther from the optimum than a million."""
LOOSER = {"pipeline-search": 50, "categories": 50}
"""The fits that these are compared with stop shorter of it there, or farther."""


@pytest.mark.parametrize("work", [name for name in WORKS if name not in {"memory", *LIKE_ANOTHER}])
def test_each_work_gives_rows(work: str) -> None:
    if work in NEED_PEER and find_spec(NEED_PEER[work]) is None:
        pytest.skip(f"{NEED_PEER[work]} is not installed: pip install '.[bench]'")
    rows = WORKS[work](TOY)
    assert rows
    assert all(row.ours > 0 and row.peer > 0 for row in rows if row.unit == "s")
    untimed = [row for row in rows if not row.unit]
    loose = LOOSER.get(work, LOOSE)
    assert all(row.ratio <= loose * row.wanted for row in untimed if row.wanted), table(untimed)


def test_bad_inputs_are_refused_by_errors_that_name_them() -> None:
    (row,) = trust.bad_inputs(Setting(scale=1 / 11, repeat=1))
    assert row.peer >= 428
    assert not row.notes


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Creating scratch directories")  # on a busy machine
def test_data_of_four_times_the_memory_is_streamed_or_refused() -> None:
    with beyond.small_cluster(1) as workers, Client(workers) as client:
        for name in ("search of scikit-learn's", "scaler"):
            outcome = beyond.attempt(client, beyond.OPERATIONS[name])
            assert outcome.fault(beyond.OPERATIONS[name]) is None
            assert outcome.peak <= beyond.MEMORY


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    seen = memory.measure_apart("LogisticRegression", "dask", 2_000)
    assert seen["X"] == 2_000 * 28 * 8
    assert seen["extra"] >= 0


def test_the_program_prints_a_table_and_writes_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "rows.json"
    options = ["--scale", "0.001", "--repeat", "1", "--only", "float32", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["linear", *options])
    linear.main()
    (row,) = json.loads(path.read_text())
    assert row["work"] in capsys.readouterr().out
    assert row["ratio"] == pytest.approx(row["peer"] / row["ours"])


def test_rows_from_files_leave_the_workers_alive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["large", "--gigabytes", "0.03", "--folder", str(tmp_path)])
    large.main()
    out = capsys.readouterr().out
    assert out.count("0 workers lost") == 3
    assert "LogisticRegression without a cache" in out
    assert not list(tmp_path.iterdir())


def test_the_figure_is_of_rows_of_the_tables() -> None:
    rows = figure.chosen_rows()
    assert all(row.theirs / row.ours == pytest.approx(float(row.ratio), rel=0.1) for row in rows.values())
