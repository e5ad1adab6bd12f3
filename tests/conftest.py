"""Shared fixtures: one cluster for all tests, and limits that keep the tests' threads from fighting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster
from killable import KillableCluster

SLOW = ("tests/model_selection/test_adaptive.py",)
"""Files whose tests take minutes together."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Two worker processes of one thread each; what a test left on them is forgotten after it."""
    with Client(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def killable() -> Iterator[KillableCluster]:
    with KillableCluster(3) as killable:
        yield killable


@pytest.fixture
def whole_cluster(killable: KillableCluster) -> LocalCluster:
    """Three worker processes of one thread each, which a test may kill."""
    return killable.whole()


@pytest.fixture
def doomed(whole_cluster: LocalCluster) -> Iterator[Client]:
    """A client of worker processes that a test may kill."""
    with Client(whole_cluster) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that kill workers, and those of files that take minutes as slow."""
    for item in items:
        place = item.path.relative_to(item.config.rootpath).as_posix()
        if place.startswith("tests/chaos/") or "killable" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chaos)
        elif place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
