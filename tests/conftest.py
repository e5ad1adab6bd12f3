"""Shared fixtures: one cluster for all tests, and limits that keep the tests' threads from fighting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of ``tests/chaos`` as such, and those of files that take minutes as slow."""
    for item in items:
        place = item.path.relative_to(item.config.rootpath).as_posix()
        if place.startswith("tests/chaos/"):
            item.add_marker(pytest.mark.chaos)
        elif place.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
