"""One contract, on every engine: threads, streaming, persisted and streaming on a cluster."""

from __future__ import annotations

import asyncio

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pytest
from distributed import Client, get_client
from numpy.testing import assert_array_equal

from daskml_kit.data import collections as capacity
from daskml_kit.engines import open as opening
from daskml_kit.engines.cluster import FuturesEngine
from daskml_kit.engines.engine import LocalEngine
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import AsynchronousClientError, DataError
from daskml_kit.linear_model import LinearRegression, LogisticRegression
from daskml_kit.reductions.gram import Gram
from daskml_kit.reductions.summary import Summary

ROWS = (400, 1, 0, 1200, 399)


def make(seed=0):
    """Lazy rows, the same at each computation, in blocks of unlike sizes."""
    X = da.random.default_rng(seed).normal(size=(2000, 5), chunks=(ROWS, 5))
    return X, (X[:, 0] + X[:, 1] > 0.3).astype(int)


@pytest.fixture
def far(monkeypatch):
    """Small data goes to the cluster too."""
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)


@pytest.fixture
def streaming(monkeypatch):
    """No data fits in memory."""
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)


def bits(X, y):
    with open_engine(X, y) as engine:
        scatter = engine.answer(Gram())[0]
        survey = engine.answer(Summary(True, 100, engine.n_blocks))[0]
        passes = engine.profile.passes
    assert passes == 2
    return type(engine), (scatter.product.tobytes(), scatter.mean.tobytes(), survey.sample_X.tobytes())


@pytest.fixture(scope="module")
def expected():
    X, y = dask.persist(*make())
    kind, answer = bits(X, y)
    assert kind is LocalEngine
    return answer


def test_streaming_in_this_process(expected, streaming):
    assert bits(*make()) == (LocalEngine, expected)


def test_streaming_reads_what_the_parts_share_once_a_pass(streaming):
    read = []

    def load(number):
        read.append(number)
        return np.random.default_rng(number).normal(size=(50, 4))

    parts = [da.from_delayed(dask.delayed(load)(number), (50, 4), float) for number in range(6)]
    table = da.concatenate(parts)
    off = dask.config.set({"daskml-kit.cache": False})
    with off, open_engine(table[:, :3], table[:, 3], table[:, 0] ** 2) as engine:
        for _ in range(3):
            engine.answer(Gram())
    assert sorted(read) == sorted(list(range(6)) * 3)


def test_persisted_on_a_cluster(client, far, expected):
    X, y = client.persist(make())
    assert bits(X, y) == (FuturesEngine, expected)


def test_not_yet_persisted_on_a_cluster(client, far, expected):
    assert bits(*make()) == (FuturesEngine, expected)


def test_streaming_on_a_cluster(client, far, streaming, expected):
    assert bits(*make()) == (FuturesEngine, expected)


def test_small_data_on_a_cluster_is_fetched(client, expected):
    assert bits(*make()) == (LocalEngine, expected)


def test_a_placement_that_alternates(client, far, expected):
    X, y = make()
    workers = sorted(client.nthreads())
    with dask.annotate(workers=lambda key: [workers[key[1] % 2]] if isinstance(key, tuple) else None):
        X = X.map_blocks(np.copy)
    X, y = client.persist([X, y], optimize_graph=False)
    assert bits(X, y) == (FuturesEngine, expected)


def test_one_task_a_worker_thread_a_pass(client, far):
    X = da.random.default_rng(0).normal(size=(4000, 3), chunks=(100, 3)).persist()
    with open_engine(X) as engine:
        engine.answer(Gram())
        engine.answer(Gram())
    assert engine.profile.tasks <= 2 * 2 * sum(client.nthreads().values())


def test_a_shard_is_bounded_in_bytes(client, far, monkeypatch):
    from daskml_kit.engines import cluster as futures

    X = da.random.default_rng(0).normal(size=(4000, 3), chunks=(100, 3)).persist()
    limit = min(w["memory_limit"] for w in client.scheduler_info()["workers"].values())
    monkeypatch.setattr(futures, "SHARD_MEMORY", 5 * 100 * 3 * 8 / limit)
    with open_engine(X) as engine:
        (scatter,) = engine.answer(Gram())
    assert engine.profile.tasks >= 40 / 5
    assert scatter.n_rows == 4000


def test_many_shards_merge_on_workers(client, far, monkeypatch):
    from daskml_kit.engines import cluster as futures

    monkeypatch.setattr(futures, "SHARD_MEMORY", 1e-12)
    X = da.random.default_rng(0).normal(size=(4000, 3), chunks=(100, 3)).persist()
    with open_engine(X) as engine:
        (scatter,) = engine.answer(Gram())
    assert engine.profile.tasks == 40 + 5
    assert scatter.n_rows == 4000


def test_a_fit_has_the_same_bits_everywhere(client, far):
    X, y = make()
    with dask.config.set(scheduler="threads"):
        here = [blocks.compute() for blocks in (X, y)]
    local = LogisticRegression(tol=1e-8).fit(*(da.from_array(a, chunks=(ROWS, *a.shape[1:])) for a in here))
    remote = LogisticRegression(tol=1e-8).fit(*make())
    assert_array_equal(remote.coef_, local.coef_)
    assert remote.profile_.n_threads == 2
    assert remote.score(*make()) == local.score(*here)


@pytest.mark.slow
def test_string_labels_on_a_cluster(client, far):
    X, y = make()
    frame = dd.from_dask_array(X, columns=list("abcde")).assign(kind=y.map_blocks(lambda b: np.where(b, "up", "down")))
    model = LogisticRegression().fit(frame[list("abcde")], frame["kind"])
    assert list(model.classes_) == ["down", "up"]
    assert model.score(frame[list("abcde")], frame["kind"]) > 0.95
    assert model.score(frame[list("abcde")], frame["kind"]) == pytest.approx(LogisticRegression().fit(X, y).score(X, y))


def test_errors_on_a_worker_reach_the_caller(client, far):
    X, y = make()
    broken = da.where(da.arange(2000, chunks=(ROWS,))[:, None] == 1700, np.nan, X)
    with pytest.raises(DataError, match="X contains NaN in block 4, row 99"):
        LogisticRegression().fit(broken, y)


def test_errors_of_the_graph_reach_the_caller(client, far):
    def fail(block):
        raise OSError("the disk is gone")

    X, y = make()
    with pytest.raises(OSError, match="the disk is gone"):
        LogisticRegression().fit(X.map_blocks(fail, meta=np.empty((0, 5))), y)


def fit_in_a_task(seed):
    X, y = make(seed)
    assert get_client() is not None
    return LogisticRegression(tol=1e-8).fit(X, y).coef_


def test_fits_inside_tasks_do_not_deadlock(client, monkeypatch):
    client.run(monkeypatch_local_bytes, 0)
    try:
        futures = client.map(fit_in_a_task, [0, 0, 0, 0], pure=False)
        results = client.gather(futures)
    finally:
        client.run(monkeypatch_local_bytes, opening.LOCAL_BYTES)
    for coef in results:
        assert_array_equal(coef, results[0])


def monkeypatch_local_bytes(value):
    opening.LOCAL_BYTES = value


def test_an_asynchronous_client_is_refused_at_once(cluster):
    async def work():
        async with Client(cluster.scheduler_address, asynchronous=True):
            with pytest.raises(AsynchronousClientError, match="asynchronous"):
                LinearRegression().fit(*make())

    asyncio.run(work())


def test_a_scheduler_named_in_the_configuration_is_used(client, far):
    with dask.config.set(scheduler="threads"), open_engine(*make()) as engine:
        assert isinstance(engine, LocalEngine)


def test_threads_of_a_local_fit_can_be_chosen():
    X = np.random.default_rng(0).normal(size=(200_000, 5))
    assert LogisticRegression(n_jobs=1).fit(X, X[:, 0] > 0).profile_.n_threads == 1
    with pytest.raises(ValueError, match="n_jobs"):
        LogisticRegression(n_jobs=0).fit(X, X[:, 0] > 0)


def test_the_blocks_of_memory_do_not_depend_on_threads():
    X = np.random.default_rng(0).normal(size=(300_000, 5))
    one = LogisticRegression(n_jobs=1).fit(X, X[:, 0] + X[:, 1] ** 2 > 0.5)
    two = LogisticRegression(n_jobs=2).fit(X, X[:, 0] + X[:, 1] ** 2 > 0.5)
    assert_array_equal(one.coef_, two.coef_)
