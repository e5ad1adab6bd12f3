"""Identity of the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distributed import Client


def workers_of(client: Client) -> Mapping[str, Any]:
    """Return what the scheduler knows of each worker, by its address.

    `Client.scheduler_info` returns what was last heard of the scheduler, which may be the answer to the client's own
    regular question, which asks for no workers: that lacks them, and another one is waited for.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.

    Returns
    -------
    mapping of str to dict
        With the keys "last_seen", "memory_limit", "nthreads", "metrics", ...
    """
    while True:
        info = client.scheduler_info(n_workers=-1)
        workers: Mapping[str, Any] = info.get("workers", {})
        if len(workers) == info.get("n_workers", len(workers)) or client.status != "running":
            return workers
