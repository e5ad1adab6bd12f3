"""Task of a detached job: the fit on a worker, and its progress as the scheduler knows it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Self

from distributed import CancelledError, Client, Event, Variable, get_client, get_worker
from sklearn import config_context

from daskml_kit.engines.engine import Profile, watching
from daskml_kit.model_selection.search.fit_and_score import fit_estimator
from daskml_kit.model_selection.search.progress import FitProgress, listening

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
