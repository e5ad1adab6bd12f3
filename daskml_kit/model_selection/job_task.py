"""Task of a detached job: the record to submit it by again, the fit on a worker, and its progress."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import Context
from pathlib import Path
from typing import Any, NamedTuple, Self

import cloudpickle
from distributed import CancelledError, Client, Event, Variable, futures_of, get_client, get_worker
from sklearn import config_context, get_config

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Profile, watching
from daskml_kit.exceptions import CheckpointError, DamagedFileError
from daskml_kit.files import check_trusted, make_private, open_file, write_file
from daskml_kit.model_selection.search.fit_and_score import fit_estimator
from daskml_kit.model_selection.search.progress import FitProgress, listening


class JobRecord(NamedTuple):
    """Record of a job: all that it takes to submit it again.

    Parameters
    ----------
    name : str
    estimator : estimator or search
    inputs : mapping of str to object
        Arguments of its ``fit``, Dask collections as their graphs; without those ``lost``.
    config : mapping
        Settings of scikit-learn.
    lost : sequence of str
        Names of the data that were persisted: a cluster takes them with it.
    """

    name: str
    estimator: Any
    inputs: Mapping[str, Any]
    config: Mapping[str, Any]
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, estimator: Any, inputs: Mapping[str, Any]) -> JobRecord:
        """Return the record of a job under the settings of this thread."""
        lost = tuple(name for name, value in inputs.items() if is_dask(value) and futures_of(value))
        kept = {name: value for name, value in inputs.items() if name not in lost}
        return cls(name, estimator, kept, get_config(), lost)

    def write(self, checkpoint: str | os.PathLike[str]) -> None:
        """Write the record beside a checkpoint; the folder itself is made by the worker that needs it.

        Raises
        ------
        CheckpointError
            Where it cannot be written.
        """
        path = record_path(checkpoint)
        make_private(path.parent)
        write_file(path, lambda file: cloudpickle.dump(tuple(self), file), durable=True)


def record_path(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the path of the record of the job that has a checkpoint.

    Examples
    --------
    >>> record_path("/data/search/").as_posix()
    '/data/search.job'
    """
    return Path(f"{os.path.abspath(checkpoint)}.job")


def read_record(checkpoint: str | os.PathLike[str]) -> JobRecord:
    """Return the record of the job that has a checkpoint.

    Raises
    ------
    CheckpointError
        Where there is none, or it is damaged.
    UntrustedFileError
        Where another user could have written it, as it is unpickled.
    """
    path = record_path(checkpoint)
    try:
        with open_file(path) as file:
            check_trusted(path, file)
            record = JobRecord(*cloudpickle.load(file))
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint: there is no {path}, as of a job that was submitted with it") from None
    except DamagedFileError as error:
        raise DamagedFileError(f"checkpoint: {error}; submit the job again, and it goes on") from error
    return record


DATA = "daskml-job-data/"
"""Before a job's key: what is published of its inputs."""
REPORT_SECONDS = 0.5


def run_fit(key: str, estimator: Any, in_memory: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Return the estimator, fitted to inputs in memory and those that are published for the job.

    It is run in a thread of its own: the tasks of the fit need that of the task.
    """
    worker = get_worker().address
    client = get_client()
    inputs = {**in_memory, **client.get_dataset(DATA + key)}
    # in a context of its own the fit is not inside a task: it has the cluster as a session would
    return Context().run(_fit, JobReporter(key, worker, client), estimator, inputs, config)


class JobReporter(AbstractContextManager["JobReporter"]):
    """Reports the progress of a fit in a variable on the scheduler, and ends the fit once its job is canceled.

    A thread does so periodically: the fit itself never waits for the scheduler.

    Parameters
    ----------
    key : str
        Of the job's task, its variable and the event of its end.
    worker : str
        Where it runs.
    client : distributed.Client
    """

    def __init__(self, key: str, worker: str, client: Client) -> None:
        self.client, self.worker = client, worker
        self.progress = FitProgress()
        self._variable, self._cancel = Variable(key, client), Event(key, client)
        self._is_cancelled = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report_periodically, name="daskml-kit-job", daemon=True)

    def update(self, progress: FitProgress) -> None:
        """Take in the progress of a search.

        Raises
        ------
        CancelledError
            Where the job was canceled.
        """
        self.progress = progress._replace(passes=self.progress.passes)
        self._check()

    def count_pass(self, profile: Profile) -> None:
        """Take in that there was a pass; raise as `update` does."""
        self.progress = self.progress._replace(passes=self.progress.passes + 1)
        self._check()

    def __enter__(self) -> Self:
        self._variable.set(job_state(self.progress, self.worker))
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        self._thread.join()
        if not self._is_cancelled:
            self._variable.set(job_state(self.progress, self.worker, ended=True))

    def _report_periodically(self) -> None:
        known = self.progress
        while not self._ended.wait(REPORT_SECONDS):
            self._is_cancelled = self._is_cancelled or self._cancel.is_set()
            if self.progress != known and not self._is_cancelled:
                known = self.progress
                self._variable.set(job_state(known, self.worker))

    def _check(self) -> None:
        if self._is_cancelled:
            raise CancelledError("the job was canceled")


def job_state(progress: FitProgress, worker: str | None = None, *, ended: bool = False) -> dict[str, Any]:
    """Return the value of a job's variable."""
    return {"progress": list(progress), "worker": worker, "ended": ended}


def _fit(reporter: JobReporter, estimator: Any, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    with (
        reporter,
        reporter.client.as_current(),
        config_context(**config),
        listening(reporter.update),
        watching(reporter.count_pass),
    ):
        return fit_estimator(estimator, **inputs)
