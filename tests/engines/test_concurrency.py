"""Fits at the same time, in tasks, in coroutines and in other processes: none waits for ever, and each has its bits."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.linear_model
from distributed import Client, get_client, worker_client
from numpy.testing import assert_array_equal

from daskml_kit.engines import open as opening
from daskml_kit.exceptions import AsynchronousClientError, LostSchedulerError
from daskml_kit.linear_model import LogisticRegression, Ridge, SGDClassifier
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.partition import hash_partition, place

SECONDS = 120
pytestmark = pytest.mark.timeout(2 * SECONDS)


def make():
    X = da.random.default_rng(3).normal(size=(4_000, 4), chunks=(500, 4))
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.7).astype(int)


def coef(model, X, y):
    fitted = model.fit(X, y)
    return getattr(fitted, "best_estimator_", fitted).coef_


def partitioned(X, y):
    return np.sort(hash_partition(X, by=y, npartitions=3).compute(), axis=0)


def placed(X, y):
    return place(X, strategy="round_robin").compute()


def over(model):
    return GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2)


WORKS = {
    "passes": partial(coef, LogisticRegression()),
    "steps": partial(coef, SGDClassifier(max_iter=2, tol=None, random_state=0)),
    "fused search": partial(coef, over(Ridge())),
    "task search": partial(coef, over(sklearn.linear_model.Ridge())),
    "search in a search": lambda X, y: [GridSearchCV(over(Ridge()), {"cv": [2, 3]}, cv=2).fit(X, y).best_score_],
    "shuffle": partitioned,
    "placement": placed,
}


@pytest.fixture(autouse=True)
def everywhere(client, monkeypatch):
    """Small data is fitted on the workers, also by their own tasks."""

    def set_limit(n_bytes):
        opening.LOCAL_BYTES = n_bytes

    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    client.run(set_limit, 0)
    yield
    client.run(set_limit, 16 * 2**20)


def together(calls):
    """Return the results of functions, each called in a thread of its own."""
    results = {}
    threads = [
        threading.Thread(target=lambda n=n, call=call: results.update({n: call()}), daemon=True)
        for n, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    return [results[n] for n in range(len(threads))]


def in_client(client, work, X, y):
    with client.as_current():
        return work(X, y)


@pytest.mark.parametrize("persisted", [False, True])
def test_eight_threads_on_two_clients_of_a_cluster(cluster, client, persisted):
    X, y = client.persist(make()) if persisted else make()
    works = [WORKS["passes"], *WORKS.values()]
    expected = [work(X, y) for work in works]
    with Client(cluster, set_as_default=False) as other:
        clients = [client, client if persisted else other] * 4
        found = together([partial(in_client, own, work, X, y) for own, work in zip(clients, works, strict=True)])
    for ours, alone in zip(found, expected, strict=True):
        assert_array_equal(ours, alone)


def in_worker_client(work, X, y):
    with worker_client():
        return work(X, y)


def in_current(work, X, y):
    with get_client().as_current():
        return work(X, y)


@pytest.mark.parametrize("work", WORKS.values(), ids=list(WORKS))
def test_more_tasks_than_threads(client, work):
    X, y = client.persist(make())
    expected = work(X, y)
    lazy = dask.delayed(lambda: work(*make()))
    ways = [lambda X, y: work(X, y), partial(in_worker_client, work), partial(in_current, work)]
    futures = [client.submit(way, X, y, pure=False) for way in ways]
    found = [future.result(SECONDS) for future in futures]
    found += dask.compute(lazy(), scheduler="threads")
    for ours in found:
        assert_array_equal(ours, expected)


def test_a_synchronous_client_in_a_running_loop(client):
    X, y = client.persist(make())
    expected = WORKS["passes"](X, y)

    async def cell():
        return WORKS["passes"](X, y), await asyncio.to_thread(WORKS["passes"], X, y)

    for ours in asyncio.run(cell()):
        assert_array_equal(ours, expected)


def test_an_asynchronous_client_says_what_to_do(cluster):
    async def cell():
        async with Client(cluster.scheduler_address, asynchronous=True):
            for work in WORKS.values():
                with pytest.raises(AsynchronousClientError, match=r"await asyncio\.to_thread"):
                    work(*make())

    asyncio.run(cell())


def test_a_fit_in_the_event_loop_of_a_worker_says_what_to_do(client):
    with pytest.raises(AsynchronousClientError, match=r"in a task in place of a coroutine or `Client.run`"):
        client.run(lambda: Ridge().fit(*make()), workers=[min(client.nthreads())])


def answer(queue, address):
    """Fit in a process of its own, by the client that it was forked with, or by one of its own."""
    try:
        if address is None:
            queue.put(WORKS["passes"](*make()))
        else:
            with Client(address):
                queue.put(WORKS["passes"](*make()))
    except Exception as error:
        queue.put(error)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("method", "own"), [("fork", False), ("fork", True), ("spawn", True)])
def test_other_processes(cluster, client, method, own):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=answer, args=(queue, cluster.scheduler_address if own else None), daemon=True)
    process.start()
    found = queue.get(timeout=SECONDS)
    process.join(SECONDS)
    if own:
        assert_array_equal(found, WORKS["passes"](*make()))
    else:
        assert isinstance(found, LostSchedulerError)
        assert 'start processes by "spawn"' in str(found)
