"""A worker process is stopped (SIGSTOP): fits, searches and trainings end without it, with the identical bits."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import contextmanager

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import psutil
import pytest
from dask.tokenize import TokenizationError
from distributed import wait
from numpy.testing import assert_array_equal
from sklearn.tree import DecisionTreeClassifier

from daskml_kit.data import collections as capacity
from daskml_kit.engines import cluster as cluster_engine
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.parameter_server import ParameterServer, Synchronous, add
from daskml_kit.preprocessing import OneHotEncoder
from daskml_kit.workers import hedging
from daskml_kit.workers.hedging import silent_workers

AT_MOST = 90.0
"""Seconds after which a worker goes on in any case, so that a failing test ends."""


@pytest.fixture
def halting(doomed, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    yield doomed
    until(lambda: not silent_workers(doomed))


def until(holds):
    deadline = time.monotonic() + AT_MOST
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Halt:
    """Stops the process of one worker, and lets it go on."""

    def __init__(self, client, address=None):
        pids = client.run(os.getpid)
        self.address = address or sorted(pids)[0]
        self.process = psutil.Process(pids[self.address])

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def after(self, passes):
        """Return a watcher of passes that stops the process after so many."""
        return lambda profile: self.stop() if profile.passes == passes else None

    def is_stopped(self):
        return self.process.status() == psutil.STATUS_STOPPED


@contextmanager
def halt_of(client, address=None):
    halt = Halt(client, address)
    timer = threading.Timer(AT_MOST, halt.go_on)
    timer.start()
    try:
        yield halt
    finally:
        timer.cancel()
        halt.go_on()


def rows(seed=5):
    X = da.random.default_rng(seed).normal(size=(30_000, 6), chunks=(1500, 6))
    return X, (X[:, 0] - 0.5 * X[:, 1] + X[:, 2] ** 2 > 0.8).astype(int)


@pytest.mark.parametrize("stream", [False, True])
def test_a_fit_ends_without_it(halting, monkeypatch, stream):
    monkeypatch.setattr(cluster_engine, "MERGE_WIDTH", 2)
    if stream:
        monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X, y = rows() if stream else halting.persist(rows())
    model = LogisticRegression(tol=1e-9, solver="lbfgs")
    expected = model.fit(X, y).coef_
    with halt_of(halting) as halt:
        with watching(halt.after(2)):
            assert_array_equal(model.fit(X, y).coef_, expected)
        assert_array_equal(model.fit(X, y).coef_, expected)
        assert model.profile_.n_threads < 3
        assert halt.is_stopped()
    until(lambda: model.fit(X, y).profile_.n_threads == 3)
    assert_array_equal(model.coef_, expected)


def test_a_pass_whose_other_parts_ended_long_ago_waits_no_longer(halting, monkeypatch):
    """Without taking any worker for hung by its silence alone."""
    monkeypatch.setattr(hedging, "SILENT_SECONDS", 10 * AT_MOST)
    X, y = halting.persist(rows(seed=8))
    model = LogisticRegression(tol=1e-9, solver="lbfgs")
    expected = model.fit(X, y).coef_
    with halt_of(halting) as halt:
        with watching(halt.after(2)):
            assert_array_equal(model.fit(X, y).coef_, expected)
        assert halt.is_stopped()
        assert model.profile_.n_threads < 3  # passes to come do without it


def slowly(block, seconds=0.1):
    time.sleep(seconds)
    return block


def test_data_is_loaded_and_fetched_without_it(halting, monkeypatch):
    X, y = rows(seed=6)
    X = X.map_blocks(slowly)
    expected = Ridge().fit(X, y).coef_
    held = halting.persist(rows(seed=7))
    wait(held)
    with halt_of(halting) as halt:
        timer = threading.Timer(0.3, halt.stop)
        timer.start()
        assert_array_equal(Ridge().fit(X, y).coef_, expected)
        timer.join()
        fitted = Ridge().fit(*held).coef_
        monkeypatch.undo()
        model = Ridge().fit(*held)
        assert halt.is_stopped()
    assert "fetched" in model.profile_.where
    assert_array_equal(model.coef_, fitted)


def letters(number):
    time.sleep(0.1)
    return pd.DataFrame({"a": np.arange(50) % (number + 2)}).astype("str")


def test_a_table_is_read_without_it(halting):
    frame = dd.from_map(letters, range(12))
    with halt_of(halting) as halt:
        timer = threading.Timer(0.3, halt.stop)
        timer.start()
        (found,) = OneHotEncoder().fit(frame).categories_
        timer.join()
        assert halt.is_stopped()
    assert list(found) == sorted(str(i) for i in range(13))


def test_a_fit_waits_for_what_only_the_worker_has(halting, caplog):
    """Scattered data have no recipe."""
    values = np.random.default_rng(0).normal(size=(3_000, 3))
    parts = [values[i : i + 1000] for i in range(0, 3_000, 1000)]
    with halt_of(halting) as halt:
        futures = [halting.scatter(part, workers=[halt.address], hash=False) for part in parts]
        X = da.concatenate([da.from_delayed(future, (1000, 3), float) for future in futures])
        X, y = halting.persist([X, X[:, 0]], workers=[halt.address])
        wait([X, y])

        class GoOn(logging.Handler):
            def emit(self, record):
                if halt.address in record.getMessage():
                    halt.go_on()

        handler = GoOn()
        logger = logging.getLogger("daskml_kit.workers")
        logger.addHandler(handler)
        try:
            halt.stop()
            model = Ridge(alpha=0).fit(X, y)
        finally:
            logger.removeHandler(handler)
    np.testing.assert_allclose(model.coef_, [1, 0, 0], atol=1e-9)
    (message,) = [text for text in map(logging.LogRecord.getMessage, caplog.records) if f"{halt.address} (for" in text]
    assert "waited for" in message


class Unhashable(DecisionTreeClassifier):
    """A model that Dask cannot hash, as PyTorch's are."""

    def __dask_tokenize__(self):
        raise TokenizationError("of a thread")


def test_a_search_ends_without_it(halting):
    X, y = dask.compute(*(part[:6_000] for part in rows()))
    search = GridSearchCV(Unhashable(random_state=0), {"max_depth": [2, 4, 6, 8]}, cv=3, refit=False)
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    with halt_of(halting) as halt:
        timer = threading.Timer(0.3, halt.stop)
        timer.start()
        found = search.fit(X, y).cv_results_["mean_test_score"]
        timer.join()
        assert_array_equal(search.fit(X, y).cv_results_["mean_test_score"], expected)
        assert halt.is_stopped()
    assert_array_equal(found, expected)


@pytest.mark.parametrize("place", ["primary", "replica"])
def test_every_push_counts_once(halting, place):
    with ParameterServer({"w": np.zeros(3)}, add(), client=halting) as server:

        def group():
            return server._remote.view.servers[0]

        until(lambda: group().replica is not None)
        first = group()
        with halt_of(halting, getattr(first, place).address) as halt:
            for number in range(30):
                if number == 10:
                    halt.stop()
                server.push({"w": np.full(3, number)})
            assert_array_equal(server.pull()["w"], np.full(3, sum(range(30))))
            assert halt.is_stopped()
            assert group().epoch > first.epoch
        until(lambda: not silent_workers(halting))
        server.push({"w": np.ones(3)})
        assert_array_equal(server.pull()["w"], np.full(3, sum(range(30)) + 1))
        assert server.failovers >= (place == "primary")


def test_a_training_ends_without_it(halting):
    X, y = halting.persist(rows())
    model = SGDClassifier(max_iter=3, tol=None, random_state=0, training=Synchronous())
    expected = model.fit(X, y).coef_
    with halt_of(halting) as halt:
        timer = threading.Timer(0.3, halt.stop)
        timer.start()
        found = model.fit(X, y).coef_
        timer.join()
        assert_array_equal(model.fit(X, y).coef_, expected)
        assert halt.is_stopped()
    assert_array_equal(found, expected)
