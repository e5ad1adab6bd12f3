"""Shared fixtures: one cluster for all tests, and limits that keep the tests' threads from fighting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Two worker processes of one thread each; what a test left on them is forgotten after it."""
    with Client(cluster) as client:
        yield client
