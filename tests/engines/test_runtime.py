"""Threads of BLAS while a process computes, the plugin that keeps freed memory, and clusters without workers."""

from __future__ import annotations

import platform
import resource
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
from distributed import Client, LocalCluster
from threadpoolctl import threadpool_info

from daskml_kit.engines import open as opening
from daskml_kit.engines.runtime import KeepFreedMemory, computing
from daskml_kit.exceptions import NoWorkersError
from daskml_kit.linear_model import LinearRegression, SGDClassifier
from daskml_kit.model_selection import GridSearchCV, IncrementalSearchCV

PAGES = 2**20 // resource.getpagesize()
"""Of a temporary."""


def faults():
    """Return how many pages are touched for the first time by a dozen temporaries that follow each other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        np.ones(2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are of glibc")
def test_workers_keep_freed_memory_only_with_the_plugin():
    def fewest():
        return min(client.run(faults)[worker] for _ in range(3))

    # A process of its own: glibc raises its thresholds by itself as large temporaries are freed.
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        (worker,) = client.nthreads()
        assert fewest() >= 11 * PAGES
        client.register_plugin(KeepFreedMemory())
        kept = fewest()
        client.unregister_worker_plugin(KeepFreedMemory.name)
        assert kept < PAGES
        assert fewest() >= 11 * PAGES


def test_blas_has_one_thread_while_any_thread_is_inside():
    def blas_threads():
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    before = blas_threads()
    with computing():
        with computing():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before


@pytest.fixture
def empty_cluster():
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster, Client(cluster):
        yield cluster


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression(),
        SGDClassifier(max_iter=1, tol=None),
        GridSearchCV(LinearRegression(), {"fit_intercept": [True, False]}, cv=2),
        IncrementalSearchCV(sklearn.linear_model.SGDRegressor(), {"alpha": [1e-4, 1e-3]}, 2, max_iter=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_fit_waits_for_the_first_worker(empty_cluster, monkeypatch, model):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    X = da.random.default_rng(0).normal(size=(400, 3), chunks=(100, 3))
    starter = threading.Timer(0.5, empty_cluster.scale, [1])
    starter.start()
    model.fit(X, (X[:, 0] > 0).astype(int))
    starter.join()
    assert model.n_features_in_ == 3


def test_who_waits_in_vain_is_told_how_long(empty_cluster):
    X = da.ones((4, 1), chunks=2)
    setting = {"daskml-kit.wait-for-workers": "0.2s"}
    with dask.config.set(setting), pytest.raises(NoWorkersError, match=r"in 0\.2s.*'daskml-kit\.wait-for-workers'"):
        LinearRegression().fit(X, X[:, 0])


@pytest.mark.parametrize("model", [LinearRegression(), sklearn.linear_model.Ridge()], ids=["fused", "tasks"])
def test_an_adaptive_cluster_starts_its_first_worker(empty_cluster, monkeypatch, model):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    empty_cluster.adapt(minimum=0, maximum=1, interval="100ms")
    X = da.random.default_rng(0).normal(size=(400, 3), chunks=(100, 3))
    search = GridSearchCV(model, {"fit_intercept": [True, False]}, cv=2).fit(X, X[:, 0])
    assert search.best_score_ > 0.9


class Accompanied(sklearn.linear_model.Ridge):
    """Fits once its cluster, of this process, has had two workers: it may let one go before the last fit starts."""

    cluster, had_two = None, threading.Event()

    def fit(self, X, y):
        late = time.monotonic() + 240
        while not self.had_two.is_set():
            assert time.monotonic() < late
            if len(self.cluster.scheduler.workers) == 2:
                self.had_two.set()
            time.sleep(0.01)
        return super().fit(X, y)


def test_a_search_asks_an_adaptive_cluster_for_more(empty_cluster, monkeypatch):
    monkeypatch.setattr(Accompanied, "cluster", empty_cluster)
    Accompanied.had_two.clear()
    empty_cluster.adapt(minimum=1, maximum=2, interval="100ms")
    X = np.random.default_rng(0).normal(size=(40, 3))
    grid = {"alpha": np.arange(1.0, 13.0)}
    search = GridSearchCV(Accompanied(), grid, cv=2, error_score="raise", refit=False).fit(X, X[:, 0])
    assert Accompanied.had_two.is_set()
    # what announces batches to come has their name: Dask expects it to take as long
    assert {name for name in empty_cluster.scheduler.task_prefixes if "batch" in name} == {"daskml-run-batch"}
    assert len(search.cv_results_["params"]) == 12
