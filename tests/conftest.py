"""Shared fixtures: one cluster for all tests, and limits that keep the tests' threads from fighting."""

from __future__ import annotations

import multiprocessing
import signal
from collections import defaultdict
from collections.abc import Iterator
from zlib import crc32

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import settings
from killable import KillableCluster

settings.register_profile("any machine", deadline=None)  # a busy one is no fault
settings.load_profile("any machine")

SLOW = (
    "tests/engines/test_concurrency.py",
    "tests/engines/test_leaks.py",
    "tests/model_selection/test_adaptive.py",
    "tests/model_selection/test_boosting.py",
    "tests/recommendation/test_matrix_factorization.py",
    "tests/test_benchmarks.py",
    "tests/test_notebooks.py",
)
"""Files of which each test takes long."""
MANY_CASES, FAST_SHARE = 6, 5
"""Of a test with more cases, one in so many is fast: chosen by its name, so that a new case changes no other's mark."""
LONGEST = (
    "tests/test_notebooks.py",
    "tests/chaos/",
    "tests/test_benchmarks.py",
    "tests/model_selection/test_adaptive.py",
    "tests/test_estimators.py",
    "tests/test_command_line.py",
    "tests/model_selection/test_task_search.py",
    "tests/model_selection/test_boosting.py",
)
"""What begins first, so that of two processes none is left alone with a long file at the end."""


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Clusters do not give up a worker process that a busy machine takes long to start again.

    Worker processes are forked from one that has everything imported, which costs seconds of a processor.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(["distributed", "benchmarks.kills"])
    config = {
        "distributed.deploy.lost-worker-timeout": "300s",
        "distributed.worker.multiprocessing-method": "forkserver",
    }
    with dask.config.set(config):
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptions() -> None:
    """Ctrl-C interrupts, also where a shell lets what it runs in the background ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Two worker processes of one thread each; what a test left on them is forgotten after it."""
    with Client(cluster) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="session")
def killable() -> Iterator[KillableCluster]:
    with KillableCluster(3) as killable:
        yield killable


@pytest.fixture
def lone_cluster() -> Iterator[LocalCluster]:
    """Three worker processes that end with their test: of what leaves workers busy for ever, or restarts them all."""
    with KillableCluster(3) as killable:
        yield killable.whole()


@pytest.fixture
def whole_cluster(killable: KillableCluster) -> LocalCluster:
    """Three worker processes of one thread each, which a test may kill."""
    return killable.whole()


@pytest.fixture
def doomed(whole_cluster: LocalCluster) -> Iterator[Client]:
    """A client of worker processes that a test may kill."""
    with Client(whole_cluster) as client:
        yield client


def fast_cases(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Return the cases of a test that are fast: all of a few, else those drawn by their names, at least one."""
    if len(cases) <= MANY_CASES:
        return cases
    numbers = [crc32(item.nodeid.encode()) for item in cases]
    return [item for item, n in zip(cases, numbers, strict=True) if n % FAST_SHARE == 0 or n == min(numbers)]


def place_of(item: pytest.Item) -> str:
    return item.path.relative_to(item.config.rootpath).as_posix()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that kill workers as chaos, and what takes long as slow; put the longest files first."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    fast = {item for own in cases.values() for item in fast_cases(own)}
    for item in items:
        if place_of(item).startswith("tests/chaos/") or "killable" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chaos)
        elif item not in fast or place_of(item).startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    ranks = {
        place: next((rank for rank, start in enumerate(LONGEST) if place.startswith(start)), len(LONGEST))
        for place in {place_of(item) for item in items}
    }
    items.sort(key=lambda item: ranks[place_of(item)])
