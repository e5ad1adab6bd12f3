"""Start a job, and find it again from another session."""

from __future__ import annotations

import uuid
from typing import Any

import dask
from dask.sizeof import sizeof
from distributed import Client, Variable, get_client
from sklearn import get_config

from daskml_kit.engines.blocks import is_dask
from daskml_kit.errors import AsynchronousClientError, DataError
from daskml_kit.model_selection.jobs.job import JOBS, Job
from daskml_kit.model_selection.jobs.running import DATA, run_fit, told
from daskml_kit.model_selection.search.progress import Progress

MEMORY_BYTES = 2**30
"""Of data in memory the scheduler keeps a copy, so that a job can run again."""


def submit(
    estimator: Any, X: Any, y: Any = None, *, client: Client | None = None, name: str | None = None, **fit_params: Any
) -> Job:
    """Fit an estimator or a search on a cluster, where the fit goes on when this session ends.

    Parameters
    ----------
    estimator : estimator or search
        Not changed: the job's result is the fitted one.
    X, y : as for its ``fit``
        Data that are persisted are held until the job is forgotten. Arrays and frames in memory go to the scheduler,
        together at most 1 GiB.
    client : distributed.Client, optional
        By default the current one. Its cluster has to outlive the session; a `LocalCluster` ends with its process.
    name : str, optional
        To `attach` to the job; by default one is made.
    **fit_params
        For ``fit``; a ``checkpoint`` has to be a folder that all workers see.

    Raises
    ------
    ValueError
        Where there is no client, or the name is that of another job.
    DataError
        Where data in memory are larger.

    Examples
    --------
    >>> from distributed import Client
    >>> from sklearn.linear_model import Ridge
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     job = submit(Ridge(alpha=0.0), [[0.0], [1.0]], [1.0, 3.0], name="line")
    ...     job.result().coef_.round(6), attach("line").status()
    (array([2.]), 'finished')
    """
    client = _synchronous(client)
    if name is None:
        name = f"{type(estimator).__name__}-{uuid.uuid4().hex[:8]}"
    if name in _names(client):
        raise ValueError(f"name: there is a job {name!r}; attach to it, forget it, or name another")
    inputs = {"X": X, "y": y, **fit_params}
    in_memory = {name: value for name, value in inputs.items() if not is_dask(value)}
    _check_size(in_memory)
    key = f"{JOBS}{name}-{uuid.uuid4().hex}"
    Variable(key, client).set(told(Progress()))
    client.publish_dataset({DATA + key: {name: value for name, value in inputs.items() if is_dask(value)}})
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2 * MEMORY_BYTES}):
        future = client.submit(run_fit, key, estimator, in_memory, get_config(), key=key, pure=False)
    try:
        client.publish_dataset({JOBS + name: (key, future)})
    except KeyError as error:
        future.cancel()
        client.unpublish_dataset(DATA + key)
        raise ValueError(f"name: there is a job {name!r} since now; name another") from error
    return Job(name, key, future, client)


def attach(name: str, client: Client | None = None) -> Job:
    """Return the job of that name, submitted by this session or another; see the example of `submit`.

    Raises
    ------
    ValueError
        Where there is no client, or no such job.
    """
    client = _synchronous(client)
    names = _names(client)
    if name not in names:
        raise ValueError(f"name: there is no job {name!r}; there are {', '.join(map(repr, names)) or 'none'}")
    key, future = client.get_dataset(JOBS + name)
    return Job(name, key, future, client)


def _names(client: Client) -> list[str]:
    datasets = [str(name) for name in client.list_datasets()]
    return [name.removeprefix(JOBS) for name in datasets if name.startswith(JOBS)]


def _synchronous(client: Client | None) -> Client:
    if client is None:
        try:
            client = get_client()
        except ValueError as error:
            raise ValueError("client: a job needs a cluster, and there is no current client") from error
    if client.asynchronous:
        raise AsynchronousClientError("client: expected a synchronous client, got an asynchronous one")
    return client


def _check_size(in_memory: dict[str, Any]) -> None:
    sizes = {name: sizeof(value) for name, value in in_memory.items() if value is not None}
    if sum(sizes.values()) > MEMORY_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise DataError(
            f"{largest}: expected at most {MEMORY_BYTES / 2**30:g} GiB of data in memory, which the scheduler keeps, "
            f"got {sizes[largest] / 2**30:.1f} GiB: give a job larger data as Dask collections, read by the workers"
        )
