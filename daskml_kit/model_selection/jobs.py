"""Detached jobs: fits that go on on a cluster when the client that submitted them closes."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dask
from dask.sizeof import sizeof
from distributed import CancelledError, Client, Event, Future, Variable, get_client, wait

from daskml_kit.data.collections import is_dask
from daskml_kit.exceptions import (
    AsynchronousClientError,
    CheckpointError,
    DataError,
    LostDataError,
    LostSchedulerError,
)
from daskml_kit.model_selection.job_task import DATA, JobRecord, job_state, read_record, run_fit
from daskml_kit.model_selection.search.progress import FitProgress
from daskml_kit.representation import as_html
from daskml_kit.workers.cluster_pool import run_seceded
from daskml_kit.workers.connection import require_connection

JOBS = "daskml-job/"
"""Before a job's name: its key and future, published."""
END_SECONDS = 5.0
ANSWER_SECONDS = 1.0
"""The most that the scheduler takes to tell that a job has ended, and to answer."""


class Job:
    """Fit on a cluster that goes on when the client closes; `submit` and `attach` make them.

    The scheduler holds the job's result, and what was persisted of its data, until `forget`. Where the worker that runs
    a job dies, or one that has its result, the fit is run again on another: by a search from its checkpoint, if it has
    one in a folder that all workers see, else from the start. After as many deaths as
    ``distributed.scheduler.allowed-failures`` allows, three by default, the job has failed. Where the scheduler dies, a
    job with a ``checkpoint`` goes on from it on another cluster: ``attach(checkpoint=...)``.

    Parameters
    ----------
    name : str
        Name of the job on its cluster.
    key : str
        Key of its task.
    future : distributed.Future or None
        Its result; None of a job that was canceled.
    client : distributed.Client
        A synchronous client.

    See Also
    --------
    submit : Submit a job.
    attach : Find a job of this session or another by its name.
    list_jobs : All jobs of a cluster.

    Examples
    --------
    >>> from distributed import Client
    >>> from sklearn.linear_model import Ridge
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     job = submit(Ridge(), [[0.0], [1.0]], [1.0, 3.0], name="line")
    ...     fitted = job.result()
    ...     job
    <Job line: finished>
    """

    def __init__(self, name: str, key: str, future: Future | None, client: Client) -> None:
        self.name, self.key, self.future, self.client = name, key, future, client

    def __repr__(self) -> str:
        try:
            return f"<Job {self.name}: {self.status()}>"
        except LostSchedulerError:
            return f"<Job {self.name}: unreachable>"

    def _repr_html_(self) -> str:
        try:
            facts: dict[str, Any] = {"status": self.status()}
            with suppress(LookupError):
                facts["progress"] = self.progress()
        except LostSchedulerError:
            facts = {"status": "unreachable"}
        return as_html(f"Job {self.name}", facts)

    def status(self) -> str:
        """Return the status of the job.

        Returns
        -------
        {"waiting", "running", "finished", "failed", "canceled", "lost"}
            A job is lost where the cluster does not know its task any more, as after a restart.

        Raises
        ------
        LostSchedulerError
            Where the client of this object was closed, or has lost its cluster; so do the other methods.
        """
        self._require_connection()
        if Event(self.key, self.client).is_set():
            self.future = None
        if self.future is None:
            return "canceled"
        if self.future.status == "pending":
            state = self._state()
            if self.key in self.client.processing().get(state["worker"], ()):
                return "running"
            with self.client.as_current(), suppress(TimeoutError):  # a session that just came has yet to be told
                wait([self.future], timeout=END_SECONDS if state["ended"] else ANSWER_SECONDS)
        if self._is_unknown():
            return "lost"
        ends = {"finished": "finished", "error": "failed", "pending": "waiting"}
        return ends.get(self.future.status, "lost")

    def progress(self) -> FitProgress:
        """Return the progress of the fit, at most about half a second ago.

        Returns
        -------
        FitProgress
            Finished fits of a search, passes over the data, and the best score so far.

        Raises
        ------
        LookupError
            Where the job was forgotten.
        """
        return FitProgress(*self._state()["progress"])

    def result(self, timeout: float | None = None) -> Any:
        """Return the fitted estimator, once it is there; raise what its fit raised.

        Parameters
        ----------
        timeout : float, optional
            Seconds; by default as long as it takes.

        Returns
        -------
        estimator or search
            Fitted.

        Raises
        ------
        TimeoutError
            Where it takes longer; the job goes on.
        CancelledError
            Where the job was canceled.
        LostDataError
            Where the job was lost.
        """
        self._require_connection()
        if self.future is None:
            raise CancelledError(f"job {self.name!r} was canceled")
        lost = f"job {self.name!r} was lost with its cluster: submit it again, or attach with its checkpoint="
        if self._is_unknown():
            raise LostDataError(lost)
        try:
            return self.future.result(timeout)
        except CancelledError as error:
            if self.status() == "lost":
                raise LostDataError(lost) from error
            raise

    def cancel(self) -> None:
        """End the job, unless it has ended; a fit that runs ends after its next pass, or the next fit of a search."""
        if self.status() not in ("waiting", "running"):
            return
        Event(self.key, self.client).set()
        self.client.publish_dataset({JOBS + self.name: (self.key, None)}, override=True)
        self.client.unpublish_dataset(DATA + self.key)
        self.client.cancel([self.future], force=True)
        self.future = None

    def forget(self) -> None:
        """Cancel the job, if it has not ended, and let the cluster let go of its name, its data, and its result.

        The result stays as long as a session has this object, or another of the job.

        Raises
        ------
        LookupError
            Where the job was forgotten already.
        """
        self._state()  # the name may be that of another job by now
        self.cancel()
        Variable(self.key, self.client).delete()
        for name in (DATA + self.key, JOBS + self.name):
            self.client.unpublish_dataset(name)

    def _is_unknown(self) -> bool:
        """Return whether the scheduler does not know the task: one that was attached to would be waited for forever."""
        key = self.key

        def is_there(
            dask_scheduler: Any,
        ) -> bool:  # in here it is pickled with its code: a scheduler need not have this
            return key in dask_scheduler.tasks

        return (
            self.future is not None and self.future.status == "pending" and not self.client.run_on_scheduler(is_there)
        )

    def _require_connection(self) -> None:
        try:
            require_connection(self.client)
        except LostSchedulerError as error:
            raise LostSchedulerError(
                f"job {self.name!r} cannot be reached: its client was closed or lost its cluster; where that lives, "
                f"attach({self.name!r}) under a new client finds the job; else submit it again, or attach with its "
                "checkpoint=, where it has one"
            ) from error

    def _state(self) -> Any:
        self._require_connection()
        try:
            return Variable(self.key, self.client).get(timeout=ANSWER_SECONDS)
        except TimeoutError as error:
            raise LookupError(f"job {self.name!r} was forgotten") from error


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
    X : as for its ``fit``
        Rows. Data that are persisted are held until the job is forgotten. Arrays and frames in memory go to the
        scheduler, together at most 1 GiB.
    y : as for its ``fit``, optional
        Target.
    client : distributed.Client, optional
        By default the current one. Its cluster has to outlive the session; a `LocalCluster` ends with its process.
    name : str, optional
        To `attach` to the job; by default one is made.
    **fit_params : dict
        For ``fit``; a ``checkpoint`` has to be a folder that all workers see. The job records itself beside it, in a
        file of that name with ``.job``, so that `attach` resumes it where the scheduler was lost.

    Returns
    -------
    Job
        Handle of the fit.

    Raises
    ------
    ValueError
        Where there is no client, or the name is that of another job.
    DataError
        Where data in memory are larger.

    See Also
    --------
    attach : Find the job again, in this session or another.

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
    _check_size({name: value for name, value in inputs.items() if not is_dask(value)})
    record = JobRecord.of(name, estimator, inputs)
    if fit_params.get("checkpoint") is not None:
        try:
            record.write(fit_params["checkpoint"])
        except CheckpointError as error:
            warnings.warn(f"a lost scheduler loses the job: {error}", stacklevel=2)
    return _start(client, name, estimator, inputs, record.config)


def _start(client: Client, name: str, estimator: Any, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Job:
    in_memory = {name: value for name, value in inputs.items() if not is_dask(value)}
    key = f"{JOBS}{name}-{uuid.uuid4().hex}"
    Variable(key, client).set(job_state(FitProgress()))
    client.publish_dataset({DATA + key: {name: value for name, value in inputs.items() if is_dask(value)}})
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2 * MEMORY_BYTES}):
        future = client.submit(run_seceded, run_fit, key, estimator, in_memory, config, key=key, pure=False)
    try:
        client.publish_dataset({JOBS + name: (key, future)})
    except KeyError as error:
        future.cancel()
        client.unpublish_dataset(DATA + key)
        raise ValueError(f"name: there is a job {name!r} since now; name another") from error
    return Job(name, key, future, client)


def attach(
    name: str | None = None, client: Client | None = None, *, checkpoint: str | os.PathLike[str] | None = None
) -> Job:
    """Return the job of that name, submitted by this session or another; resume it where its cluster was lost.

    Parameters
    ----------
    name : str, optional
        As it was given to `submit`; by default that of the job with the checkpoint.
    client : distributed.Client, optional
        By default the current one.
    checkpoint : path, optional
        As it was given to `submit`, and seen by this session too. Where the cluster does not know the job, as after its
        scheduler was lost, it is submitted from its record, and goes on from the checkpoint: nothing in there is done
        again. The record is unpickled, so it has to be a file that nobody else can have written.

    Returns
    -------
    Job
        Handle of the fit.

    Raises
    ------
    ValueError
        Where there is no client, or no such job.
    CheckpointError
        Where the checkpoint has no record of a job, or it is damaged.
    UntrustedFileError
        Where another user could have written the record.
    LostDataError
        Where data of the job had been persisted on a cluster that was lost.

    See Also
    --------
    submit : Submit a job.

    Examples
    --------
    >>> from distributed import Client
    >>> from sklearn.linear_model import Ridge
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     job = submit(Ridge(), [[0.0], [1.0]], [1.0, 3.0], name="line")
    ...     attach("line").result().n_features_in_
    1
    """
    client = _synchronous(client)
    record = None if checkpoint is None else read_record(checkpoint)
    if record is not None:
        if name not in (None, record.name):
            raise ValueError(f"checkpoint: it is that of the job {record.name!r}, and not of {name!r}")
        name = record.name
    names = _names(client)
    if name is not None and name in names:
        key, future = client.get_dataset(JOBS + name)
        job = Job(name, key, future, client)
        if record is None or job.status() != "lost":
            return job
        if not record.lost:
            job.forget()
    if record is None:
        known = ", ".join(map(repr, names)) or "none"
        raise ValueError(
            f"name: there is no job {name!r}; there are {known}; one whose cluster was lost needs checkpoint="
        )
    if record.lost:
        raise LostDataError(
            f"job {record.name!r}: {', '.join(record.lost)} had been persisted on a cluster, and went with it: submit "
            "the job again, with the same data and checkpoint, and it goes on"
        )
    return _start(client, record.name, record.estimator, record.inputs, record.config)


def list_jobs(client: Client | None = None) -> list[Job]:
    """Return the jobs that a cluster knows, of this session and of others.

    Parameters
    ----------
    client : distributed.Client, optional
        By default the current one.

    Returns
    -------
    list of Job
        By name. One is there until it is forgotten, whether or not it has ended.

    Raises
    ------
    ValueError
        Where there is no client.
    LostSchedulerError
        Where the client was closed, or has lost its cluster.

    See Also
    --------
    attach : Find one job by its name.

    Examples
    --------
    >>> from distributed import Client
    >>> from sklearn.linear_model import Ridge
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     _ = submit(Ridge(), [[0.0], [1.0]], [1.0, 3.0], name="line").result()
    ...     list_jobs()
    [<Job line: finished>]
    """
    client = _synchronous(client)
    found = []
    for name in sorted(_names(client)):
        with suppress(KeyError):  # forgotten in the meantime
            key, future = client.get_dataset(JOBS + name)
            found.append(Job(name, key, future, client))
    return found


def _names(client: Client) -> list[str]:
    require_connection(client)
    datasets = [str(name) for name in client.list_datasets()]
    return [name.removeprefix(JOBS) for name in datasets if name.startswith(JOBS)]


def _synchronous(client: Client | None) -> Client:
    if client is None:
        try:
            client = get_client()
        except ValueError as error:
            raise ValueError("client: a job needs a cluster, and there is no current client") from error
    if not isinstance(client, Client):
        raise TypeError(f"client: expected a Dask client, got {client!r}")
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
