"""The contract of a worker pool, on threads and on a cluster; workers of the cluster are killed (SIGKILL)."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster, get_client
from killable import KillableCluster

from daskml_kit.data import collections as capacity
from daskml_kit.exceptions import LostDataError, MissingModuleError, NoWorkersError
from daskml_kit.linear_model import LinearRegression
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.connection import finish, in_task, released_task_thread
from daskml_kit.workers.worker_pool import LocalPool


@pytest.fixture(params=["local", "cluster"])
def pool(request):
    if request.param == "local":
        with LocalPool(2) as pool:
            yield pool
    else:
        with ClusterPool(request.getfixturevalue("client")) as pool:
            yield pool


@pytest.fixture(scope="module")
def killable():
    with KillableCluster(2, {"distributed.scheduler.allowed-failures": 0}) as killable:
        yield killable


def touch(path):
    open(path, "a").close()


def wait_for(path, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not os.path.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path


def begin(begun, go):
    touch(begun)
    return wait_for(go)


def fail(message):
    raise ZeroDivisionError(message)


def die_while(marker, n_deaths):
    """Kill the worker that runs this, ``n_deaths`` times in all."""
    n = len([name for name in os.listdir(os.path.dirname(marker)) if name.startswith(os.path.basename(marker))])
    if n < n_deaths:
        touch(f"{marker}-{n}")
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def test_each_result_comes_once_with_its_tag(pool):
    for number in range(20):
        pool.submit(pow, number, 2, tag=("square", number))
    assert pool.n_running == 20
    found = dict(pool.next() for _ in range(20))
    assert found == {("square", number): number**2 for number in range(20)}
    assert pool.n_running == 0


def test_what_ends_first_comes_first(pool, tmp_path):
    pool.submit(wait_for, str(tmp_path / "go"), tag="long")
    pool.submit(touch, str(tmp_path / "other"), tag="short")
    assert pool.next(60).tag == "short"
    assert pool.next(0.05) is None
    touch(tmp_path / "go")
    assert pool.next(60) == ("long", str(tmp_path / "go"))


def test_an_error_of_a_task_is_raised_as_it_is_and_the_others_go_on(pool):
    pool.submit(fail, "of mine", tag="bad")
    with pytest.raises(ZeroDivisionError, match="of mine"):
        pool.next()
    pool.submit(abs, -3, tag="good")
    assert pool.next() == ("good", 3)


def test_slots_are_the_threads_by_host(pool):
    (slots,) = pool.slots().values()
    assert sorted(slots) == sorted(address for address, n in pool.threads().items() for _ in range(n))
    assert len(slots) == 2
    pool.submit(abs, -3, tag=0, worker=slots[0])
    assert pool.next() == (0, 3)


def n_to_come(dask_scheduler):
    """Return the tasks that the scheduler will have run."""
    return sum(task.state in ("queued", "waiting", "no-worker", "processing") for task in dask_scheduler.tasks.values())


def n_waiting(dask_worker):
    return sum(task.state == "ready" for task in dask_worker.state.tasks.values())


def test_what_has_not_begun_is_cancelled_when_the_pool_is_closed(pool, tmp_path):
    (slots,) = pool.slots().values()
    with pool:
        for number, worker in enumerate(slots):
            pool.submit(begin, str(tmp_path / f"begun-{number}"), str(tmp_path / "go"), tag=number, worker=worker)
        for number in range(2):
            wait_for(tmp_path / f"begun-{number}")
        for number in range(20):
            pool.submit(touch, str(tmp_path / f"late-{number}"), tag=number)
    while isinstance(pool, ClusterPool) and (
        pool.client.run_on_scheduler(n_to_come) or sum(pool.client.run(n_waiting).values())
    ):
        time.sleep(0.01)
    touch(tmp_path / "go")
    time.sleep(0.2)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("late")]


def test_tasks_that_secede_leave_the_workers_their_threads(pool, tmp_path):
    if isinstance(pool, LocalPool):
        pytest.skip("nobody else has the threads of a local pool")
    for number in range(4):
        pool.submit(wait_for, str(tmp_path / "go"), tag=number, secede=True)
    pool.submit(touch, str(tmp_path / "go"), tag="go")
    assert {pool.next(60).tag for _ in range(5)} == {0, 1, 2, 3, "go"}


def test_steps_that_stay_on_the_cluster_are_arguments_of_others(client):
    with ClusterPool(client) as pool:
        step = pool.start(int, "2")
        for _ in range(3):
            step = pool.start(pow, step, 2)
        pool.submit(abs, step, tag="end")
        assert pool.next() == ("end", 256)


def test_a_task_of_a_killed_worker_ends_on_another(client, tmp_path):
    with ClusterPool(client) as pool:
        pool.submit(die_while, str(tmp_path / "died"), 1, tag="it")
        pool.submit(die_while, str(tmp_path / "other"), 0, tag="other")
        found = dict(pool.next(120) for _ in range(2))
    assert found == {"it": 1, "other": 0}


@pytest.mark.parametrize("retries", [0, 1])
def test_a_task_that_kills_its_workers_is_given_up(doomed, tmp_path, retries):
    with ClusterPool(doomed, retries=retries) as pool:
        pool.submit(die_while, str(tmp_path / "died"), 3, tag="it")
        with pytest.raises(KilledWorker):
            pool.next(120)
    assert len(os.listdir(tmp_path)) == 1 + retries


def test_a_chain_that_met_a_death_is_retried_from_where_it_failed(doomed, tmp_path):
    with ClusterPool(doomed, retries=2) as pool:
        died = pool.start(die_while, str(tmp_path / "died"), 2)
        pool.submit(pow, died, 2, tag="square")
        assert pool.next(120) == ("square", 4)


def test_lost_data_are_told(doomed):
    scattered = doomed.scatter({"rows": -3}, workers=[sorted(doomed.nthreads())[0]])
    with ClusterPool(doomed) as pool:
        pids = doomed.run(os.getpid)
        os.kill(pids[sorted(pids)[0]], signal.SIGKILL)
        while len(doomed.nthreads()) == 2 and set(pids) == set(doomed.nthreads()):
            time.sleep(0.05)
        pool.submit(abs, scattered["rows"], tag="it")
        with pytest.raises(LostDataError, match="persist data"):
            pool.next(60)
        with pytest.raises(LostDataError, match="persist data"):
            finish([doomed.submit(abs, scattered["rows"], pure=False)])


@pytest.mark.timeout(120)
def test_who_waits_for_workers_is_told_and_placed_tasks_outlive_all_workers():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with cluster, Client(cluster) as client, ClusterPool(client) as pool:
        (gone,) = client.nthreads()
        client.retire_workers()
        pool.submit(abs, -3, tag="it", worker=gone)
        with dask.config.set({"daskml-kit.wait-for-workers": "0.1s"}), pytest.raises(NoWorkersError):
            pool.next()
        cluster.scale(2)
        assert pool.next() == ("it", 3)


class OnlyHere:
    """An object of a module that only this process has."""

    def __reduce__(self):
        return importlib.import_module, ("a_module_of_the_client",)

    def __dask_tokenize__(self):
        return "only here"

    def __call__(self, block):
        return block


def test_a_module_that_the_cluster_lacks_is_told(client):
    with ClusterPool(client) as pool:
        pool.submit(str, pool.start(tuple, (OnlyHere(),)), tag="it")
        with pytest.raises(MissingModuleError, match="No module named 'a_module_of_the_client'"):
            pool.next()


def test_a_module_of_a_streamed_graph_that_the_cluster_lacks_is_told(client, monkeypatch):
    monkeypatch.setattr(capacity, "FIT_FRACTION", 0)
    X = da.ones((40, 2), chunks=(10, 2)).map_blocks(OnlyHere(), meta=np.empty((0, 2)))
    with pytest.raises(MissingModuleError, match="No module named 'a_module_of_the_cl"):
        LinearRegression().fit(X, da.ones(40, chunks=10))


def test_a_task_that_waits_for_tasks_releases_its_thread(client):
    def outer():
        with released_task_thread():
            own = get_client()
            return in_task(), sum(own.gather(own.map(abs, range(4), pure=False)))

    assert client.submit(outer, pure=False).result(60) == (True, 6)
    with released_task_thread():
        assert not in_task()


def test_a_local_task_can_see_that_its_pool_is_closed():
    seen = threading.Event()
    with LocalPool(1) as pool:
        pool.submit(lambda: pool.stopped.wait(60) and seen.set(), tag=0)
    assert seen.wait(60)
