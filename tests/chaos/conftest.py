"""A cluster whose workers are killed, one for the tests of a file: whole again at the start of each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

RESTART_SECONDS = 60.0
"""Seconds in which killed workers are to be back; nannies do not start all of those again that died twice in a row."""


class KillableCluster:
    """A cluster that is replaced where its killed workers do not come back.

    Parameters
    ----------
    n_workers : int
        Its worker processes, of one thread each.
    settings : dict
        Settings of Dask under which its scheduler begins.
    """

    def __init__(self, n_workers: int, settings: dict[str, Any]) -> None:
        self.n_workers, self.settings = n_workers, settings
        self.cluster: LocalCluster | None = None

    def whole(self) -> LocalCluster:
        """Return the cluster when all of its workers live."""
        if self.cluster is not None and not self._is_back(self.cluster):
            self.close()
        if self.cluster is None:
            with dask.config.set(self.settings):
                self.cluster = LocalCluster(
                    n_workers=self.n_workers, threads_per_worker=1, processes=True, dashboard_address=":0"
                )
        return self.cluster

    def close(self) -> None:
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None

    def _is_back(self, cluster: LocalCluster) -> bool:
        deadline = time.monotonic() + RESTART_SECONDS
        cluster.scale(self.n_workers)
        with Client(cluster, set_as_default=False) as client:
            while len(client.run(os.getpid, on_error="ignore")) != self.n_workers:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
        return True


@pytest.fixture(scope="module")
def n_workers() -> int:
    return 3


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def killable(n_workers: int, settings: dict[str, Any]) -> Iterator[KillableCluster]:
    killable = KillableCluster(n_workers, settings)
    yield killable
    killable.close()


@pytest.fixture
def whole_cluster(killable: KillableCluster) -> LocalCluster:
    """Worker processes that a test may kill."""
    return killable.whole()


@pytest.fixture
def doomed(whole_cluster: LocalCluster) -> Iterator[Client]:
    """A client of worker processes that a test may kill."""
    with Client(whole_cluster) as client:
        yield client
