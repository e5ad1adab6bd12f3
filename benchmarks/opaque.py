"""Searches over estimators that share no passes over the data.

``python -m benchmarks.opaque`` prints one table; ``--scale 0.01`` runs it on a hundredth of the rows. The cluster is
two worker processes of one thread; memory is that of both together over what they had before there were data, what they
share counted once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
import sklearn.model_selection
from distributed import Client, LocalCluster
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

from benchmarks.data import badly_scaled, in_memory, on_workers
from benchmarks.memory import calling, watching_memory
from benchmarks.program import Setting, Work, run
from benchmarks.race import Row, Timed, race
from daskml_kit.model_selection import KFold
from daskml_kit.model_selection.search.search_plan import EvaluationData, EvaluationSpec
from daskml_kit.model_selection.search.task_search import run_tasks

ROWS = 1_000_000
N_SPLITS = 5
GRID = {"max_leaf_nodes": [7, 15, 31], "learning_rate": [0.1, 0.3], "l2_regularization": [0.0, 1.0]}
FEW = {"max_leaf_nodes": [7, 15]}
"""The grid where so few rows are there that only the call is tried."""
MODEL = HistGradientBoostingClassifier(max_iter=5, early_stopping=False, random_state=0)
MANY = 500_000
FITS, FEW_FITS = 5_000, 200
"""After so many fits a search over many candidates is interrupted, where all are there and where a share is."""
LOOK_SECONDS = 0.1
SECONDS, SHORT = 1.0, 0.01
"""What the expensive step of a pipeline takes, where all rows are used and where a share is."""


class Slow(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that takes its time, and writes a line for each fit."""

    def __init__(self, path: str = "", seconds: float = SECONDS) -> None:
        self.path, self.seconds = path, seconds

    def fit(self, X: Any, y: Any = None) -> Slow:
        with open(self.path, "a") as file:
            file.write("fit\n")
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            np.square(X[:1000])
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X


class Instant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that costs nothing."""

    def __init__(self, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.a, self.b, self.c = a, b, c

    def fit(self, X: Any, y: Any) -> Instant:
        self.classes_ = np.array([0, 1])
        return self

    def score(self, X: Any, y: Any) -> float:
        return 0.5


class Tree:
    """The memory in bytes of processes, and the highest of all together that was seen."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.processes = [psutil.Process(pid) for pid in pids]
        self.first = self.highest = self.now()

    def now(self) -> int:
        return sum(process.memory_full_info().pss for process in self.processes)

    @property
    def grown(self) -> int:
        return self.highest - self.first

    def look(self) -> None:
        self.highest = max(self.highest, self.now())


@contextmanager
def workers() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.run(_warm_up)
        yield client


def searched(estimator: Any, candidates: Sequence[Mapping[str, Any]], X: Any, y: Any, scoring: str | None) -> Any:
    """Return the test scores by candidate and split."""
    scorer = get_scorer(scoring) if scoring else Instant.score
    outcomes: dict[Any, Any] = {}
    spec = EvaluationSpec(estimator, candidates, {"score": scorer}, "raise")
    run_tasks(spec, EvaluationData(X, y, KFold(N_SPLITS).assign(X, y)), outcomes.__setitem__)
    return outcomes


def opaque(setting: Setting) -> list[Row]:
    """An estimator that has to have its fold in memory: on 5 folds 12 candidates, or 2 of few rows."""
    n_rows = setting.rows(ROWS)
    grid = GRID if setting.scale >= 0.01 else FEW
    candidates = list(ParameterGrid(grid))
    data, rows = in_memory(badly_scaled, n_rows), []
    n_bytes = data.X.nbytes + data.y.nbytes
    work = f"boosting, {len(candidates)} candidates x 5 folds"
    with workers() as client:
        tree = Tree(list(client.run(os.getpid).values()))
        contestants = {
            "ours": lambda: searched(MODEL, candidates, *data, "accuracy"),
            "scikit-learn": lambda: theirs(data, MODEL, grid),
        }
        timed = race(contestants, setting.repeat, budget=60)
        rows += _compared(f"{work}, in memory", timed["ours"], timed["scikit-learn"], wanted=1)
        with calling(tree.look, LOOK_SECONDS):  # a run of its own: to look takes time
            contestants["ours"]()
        rows.append(Row(f"{work}, in memory: memory", tree.grown / n_bytes, 1.0, 2, at_most=True, unit="x data"))
        tree.highest = 0
        X, y = on_workers(badly_scaled, n_rows, 16)
        with calling(tree.look, LOOK_SECONDS):
            held = race({"ours": lambda: searched(MODEL, candidates, X, y, "accuracy")}, setting.repeat, budget=60)
        rows += _compared(f"{work}, on workers", held["ours"], timed["scikit-learn"])
        note = "of which the persisted blocks are 1"
        rows.append(
            Row(f"{work}, on workers: memory", tree.grown / n_bytes, 1.0, at_most=True, unit="x data", notes=[note])
        )
    return rows


def _compared(work: str, ours: Timed, peer: Timed, wanted: float | None = None) -> list[Row]:
    expected = peer.result.cv_results_
    off = max(abs(o.test["score"] - expected[f"split{s}_test_score"][c]) for (c, s), o in ours.result.items())
    return [Row(f"{work}: n_jobs=2", ours.seconds, peer.seconds, wanted, notes=[f"scores differ by {off:.1g}"])]


def shared(setting: Setting) -> list[Row]:
    """A pipeline whose expensive first step 20 candidates have in common."""
    X, y = in_memory(badly_scaled, setting.rows(20_000))
    with TemporaryDirectory() as folder, workers():
        log = Path(folder, "fits")
        slow = Slow(str(log), SECONDS if setting.scale >= 1 else SHORT)
        model = Pipeline([("slow", slow), ("model", LogisticRegression(tol=1e-2))])
        grid = {"model__C": np.logspace(-3, 3, 20)}
        started = time.perf_counter()
        searched(model, ParameterGrid(grid), X, y, "accuracy")
        ours, n_fits = time.perf_counter() - started, len(log.read_text().splitlines())
        started = time.perf_counter()
        theirs((X, y), model, grid)
        peer, n_theirs = time.perf_counter() - started, len(log.read_text().splitlines()) - n_fits
    work = "an expensive step, 20 candidates x 5 folds"
    return [
        Row(f"{work}: its fits", float(n_fits), float(n_theirs), N_SPLITS / n_theirs, at_most=True, unit=""),
        Row(f"{work}: scikit-learn, n_jobs=2", ours, peer),
    ]


def many(setting: Setting) -> list[Row]:
    """500,000 candidates: until the first comes back, and what the client takes until some thousand have."""
    n_candidates = max(int(MANY * setting.scale), 1_000)
    grid = ParameterGrid({"a": range(n_candidates // 500), "b": range(50), "c": range(10)})
    piped = ParameterGrid({f"model__{name}": values for name, values in grid.param_grid[0].items()})
    X, y = in_memory(badly_scaled, 1_000)
    rows, n_fits = [], FITS if setting.scale >= 1 else FEW_FITS
    pipeline = Pipeline([("slow", Slow("/dev/null", 0.0)), ("model", Instant())])
    for name, model, candidates in (("", Instant(), grid), (" of a pipeline", pipeline, piped)):
        with workers(), watching_memory(0.01) as peak:
            first, seconds = first_of(model, candidates, X, y, n_fits)
        work = f"{len(candidates):,} candidates{name}"
        rows.append(Row(f"{work}: until the first is done", first, 10.0, 1, at_most=True))
        grown = (peak.highest - peak.first) / 1e9
        note = f"{seconds / n_fits * 1e3:.2g} ms a fit after that"
        rows.append(Row(f"{work}: memory of the client", grown, 1.0, 1, at_most=True, unit="GB", notes=[note]))
    return rows


def first_of(model: Any, candidates: Any, X: Any, y: Any, n: int) -> tuple[float, float]:
    """Return the seconds until the first outcome, and from there until ``n``, when the search is interrupted."""
    times: list[float] = []

    def keep(key: object, outcome: object) -> None:
        times.append(time.perf_counter())
        if len(times) > n:
            raise KeyboardInterrupt

    started = time.perf_counter()
    spec = EvaluationSpec(model, candidates, {"score": type(model).score}, "raise")
    data = EvaluationData(X, y, KFold(N_SPLITS).assign(X, y))
    with suppress(KeyboardInterrupt):
        run_tasks(spec, data, keep)
    return times[0] - started, times[-1] - times[0]


def theirs(data: tuple[Any, Any], model: Any, grid: Mapping[str, Any]) -> Any:
    cv = sklearn.model_selection.KFold(N_SPLITS)
    search = sklearn.model_selection.GridSearchCV(model, grid, cv=cv, scoring="accuracy", refit=False, n_jobs=2)
    return search.fit(*data)


def _warm_up() -> None:
    """Load what a fit needs, so that it does not count as memory of data."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    HistGradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0)


WORKS: dict[str, Work] = {"opaque": opaque, "shared": shared, "many": many}


def main() -> None:
    run(WORKS, __doc__)


if __name__ == "__main__":
    main()
