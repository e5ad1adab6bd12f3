"""Workers are retired, and others join, while they work: each push counts once, and fits have the identical bits."""

from __future__ import annotations

import pickle
import threading
import time

import dask
import numpy as np
import pytest
from distributed import Client, Event, LocalCluster

from benchmarks import kills
from benchmarks.kills import CASES, NAMES, SHAPES, fitted, given, push_until, total
from daskml_kit.engines import open as opening
from daskml_kit.parameter_server import ParameterServer, add

SECONDS = 120
pytestmark = pytest.mark.filterwarnings("ignore:the parameters have no replica")  # on a busy machine, for some time


@pytest.fixture(scope="module")
def cluster():
    """Workers in this process: what is retired is not killed, and others start at once."""
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "600s"}),  # no others in place of the retired
        LocalCluster(n_workers=3, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture
def client(cluster, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    with Client(cluster) as client:
        yield client


def until(is_so):
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def replace(client, address):
    """Retire a worker, and let another join."""
    assert list(client.retire_workers([address])) == [address]
    assert address not in client.nthreads()
    grow(client, 1)


def grow(client, more):
    client.cluster.scale(len(client.cluster.worker_spec) + more)
    until(lambda: len(client.nthreads()) == 3)


def places(server):
    return [place for group in server._remote.view.servers for place in (group.primary, group.replica) if place]


def push(handle, event):
    """Push by a copy of the handle: within one process a task whose worker has gone goes on beside its second run."""
    return push_until(pickle.loads(handle), event, 1)


def test_ranges_move_first_and_spread_again(client):
    params, stop = {name: np.zeros(shape) for name, shape in SHAPES.items()}, Event("stop")
    with ParameterServer(params, add(), np.inf, servers=4, client=client) as server:
        handles = {name: pickle.dumps(server.worker(name)) for name in NAMES}
        tasks = {name: client.submit(push, handle, stop.name, pure=False) for name, handle in handles.items()}
        for number in (0, -1):
            replace(client, server._remote.view.servers[number].primary.address)
            until(lambda: {place.address for place in places(server)} == set(client.nthreads()))
        assert server.failovers == 0
        stop.set()
        counts = {name: task.result(timeout=SECONDS) for name, task in tasks.items()}
        found, expected = server.pull(), total(1, counts)
    assert {name: found[name].tobytes() for name in SHAPES} == {name: expected[name].tobytes() for name in SHAPES}


WORKS = (
    "logistic, weights",
    "k-means",
    "alternating least squares",
    "sgd",
    "search",
    "task search",
    "adaptive search",
    "job",
)


@pytest.mark.parametrize("work", WORKS)
def test_fits_go_on_while_all_workers_are_replaced(client, monkeypatch, work):
    """One by one, and then all at once: for some time there is no worker, and no copy of the data."""
    monkeypatch.setattr(kills, "N_ROWS", 6_000)
    case, errors, workers = CASES[work], [], sorted(client.nthreads())
    rows = given(client, case)
    expected = fitted(case, rows)

    def replace_all():
        try:
            for address in workers:
                replace(client, address)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=replace_all)
    thread.start()
    while thread.is_alive():
        assert fitted(case, rows) == expected
    assert not errors
    assert not set(workers) & set(client.nthreads())
    client.cluster.scale(0)
    until(lambda: not client.nthreads())
    timer = threading.Timer(0.2, grow, (client, 3))
    timer.start()
    assert fitted(case, rows) == expected
    timer.join()
