"""Workers that are stopped (SIGSTOP) for some time, and workers that are retired one by one while others join."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, wait

from benchmarks.kills import CASES, SECONDS, Case, Rows, fitted, given, killable_cluster
from benchmarks.program import Setting, Work
from benchmarks.race import Row
from daskml_kit.cluster import KMeans
from daskml_kit.linear_model import LogisticRegression, SGDClassifier
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.parameter_server import Synchronous
from daskml_kit.workers.hedging import silent_workers

N_ROWS, WIDTH = 2_000_000, 20
STOPPED: Mapping[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(tol=1e-9, solver="lbfgs"),
    "k-means": lambda: KMeans(8, n_init=1, random_state=0, tol=0, max_iter=30),
    "search": lambda: GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0, 100.0]}, cv=3),
    "sgd": lambda: SGDClassifier(max_iter=5, tol=None, training=Synchronous(), random_state=0),
}


def large(n_rows: int) -> Rows:
    X = da.random.default_rng(9).normal(size=(n_rows, WIDTH), chunks=(-(-n_rows // 16), WIDTH))
    return Rows(X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int))


@contextmanager
def stopping(client: Client, address: str, delay: float) -> Iterator[None]:
    """Stop a worker after some seconds, until this ends; then wait until it beats again."""
    (pid,) = client.run(os.getpid, workers=[address]).values()
    timer = threading.Timer(delay, os.kill, (pid, signal.SIGSTOP))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        os.kill(pid, signal.SIGCONT)
        _until(lambda: not silent_workers(client))


def _until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {SECONDS} s")
        time.sleep(0.05)


def stopped(setting: Setting) -> list[Row]:
    """Stop one of four workers in some fits, and compare their seconds with those of undisturbed ones."""
    rng, found = np.random.default_rng(setting.seed), []
    with warnings.catch_warnings(), killable_cluster() as client:
        warnings.simplefilter("ignore")
        X, y, _ = large(setting.rows(N_ROWS))
        held = client.persist([X, y])
        wait(held)
        for name, make in STOPPED.items():
            make().fit(*held)  # what comes second is as quick as those that are to be met
            seconds, expected = _timed(make, held)
            with stopping(client, str(rng.choice(sorted(client.nthreads()))), rng.random() * 0.8 * seconds):
                disturbed, same = _timed(make, held)
            notes = [] if np.array_equal(expected, same) else ["FAULT: other bits"]
            found.append(Row(f"a worker of four is stopped: {name}", disturbed, seconds, 1.5, True, "s", notes))
    return found


def _timed(make: Callable[[], Any], held: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    model = make().fit(*held)
    seconds = time.perf_counter() - started
    model = getattr(model, "best_estimator_", model)
    return seconds, getattr(model, "coef_", getattr(model, "cluster_centers_", None))


class Replacement(threading.Thread):
    """Retirement of each worker, one by one, when another has joined; ``error`` is what went wrong."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for address in sorted(self.client.nthreads()):
                self._replace(address)
        except Exception as error:
            self.error = error

    def _replace(self, address: str) -> None:
        before = set(self.client.nthreads())
        self.client.cluster.scale(len(self.client.cluster.worker_spec) + 1)
        _until(lambda: set(self.client.nthreads()) - before)
        if address not in self.client.retire_workers([address]):
            raise RuntimeError(f"{address} was not retired")


def fault_while_replaced(client: Client, case: Case) -> str | None:
    """Fit until all workers are replaced; return what went wrong, None where nothing did."""
    rows = given(client, case)
    expected = fitted(case, rows)
    replacement = Replacement(client)
    replacement.start()
    fault = None
    try:
        while replacement.is_alive() and fault is None:
            found = fitted(case, rows)
            other = [part for part in expected if found.get(part) != expected[part]]
            fault = f"other bits of {', '.join(other)}" if other else None
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:200]
    replacement.join()
    return fault or (replacement.error and f"{type(replacement.error).__name__}: {replacement.error}"[:200])


def replaced(setting: Setting) -> list[Row]:
    """Replace all workers during each of some fits, and count those whose bits are not the undisturbed ones'."""
    n_fits, rng = max(round(40 * setting.scale), 1), np.random.default_rng(setting.seed)
    names = rng.permutation(list(CASES))[:n_fits]
    with warnings.catch_warnings(), killable_cluster(**{"distributed.deploy.lost-worker-timeout": "600s"}) as client:
        warnings.simplefilter("ignore")
        faults = {name: fault_while_replaced(client, CASES[name]) for name in names}
    notes = [f"{name}: {fault}" for name, fault in faults.items() if fault]
    work = "fits while all workers are replaced: other bits or an error"
    return [Row(work, len(notes), len(names), 0.0, True, "", notes)]


WORKS: dict[str, Work] = {"stopped": stopped, "replaced": replaced}
