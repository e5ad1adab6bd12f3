"""A cluster whose worker processes tests kill: whole again for each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import dask
from distributed import Client, LocalCluster

RESTART_SECONDS = 30.0
"""Seconds in which killed workers are to be back; nannies do not start all of those again that died twice in a row."""


class KillableCluster:
    """A cluster that outlives the tests that kill its workers, since each new worker costs seconds of a processor.

    Parameters
    ----------
    n_workers : int
        Its worker processes, of one thread each.
    settings : mapping
        Settings of Dask under which its scheduler begins.
    """

    def __init__(self, n_workers: int, settings: Mapping[str, Any] | None = None) -> None:
        self.n_workers, self.settings = n_workers, settings or {}
        self.cluster: LocalCluster | None = None

    def __enter__(self) -> KillableCluster:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def whole(self) -> LocalCluster:
        """Return the cluster when all of its workers live; a new one where they do not come back."""
        if self.cluster is not None and not self._is_back(self.cluster):
            self.close()
        if self.cluster is None:
            with dask.config.set(self.settings):
                sizes = {"n_workers": self.n_workers, "threads_per_worker": 1, "processes": True}
                self.cluster = LocalCluster(**sizes, dashboard_address=":0")
        return self.cluster

    def close(self) -> None:
        """Close the cluster, if there is one."""
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
