"""The task in which a job's fit runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Self

from distributed import CancelledError, Client, Event, Variable, get_client, get_worker, secede
from sklearn import config_context

from daskml_kit.engines.profile import Profile, watching
from daskml_kit.model_selection.search.progress import Progress, listening

DATA = "daskml-job-data/"
"""Before a job's key: what is published of its inputs."""
TELL_SECONDS = 0.5


def run_fit(key: str, estimator: Any, in_memory: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Return the estimator, fitted to inputs in memory and those that are published for the job."""
    worker = get_worker().address
    client = get_client()
    inputs = {**in_memory, **client.get_dataset(DATA + key)}
    secede()  # the fit's own tasks need the thread
    # in a context of its own the fit is not inside a task: it has the cluster as a session would
    return Context().run(_fit, Reporter(key, worker, client), estimator, inputs, config)


class Reporter(AbstractContextManager["Reporter"]):
    """Tells how far a fit is, by a variable on the scheduler, and ends it once the job is cancelled.

    A thread of its own does so, at times: the fit itself never waits for the scheduler.

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
        self.progress = Progress()
        self._variable, self._cancel = Variable(key, client), Event(key, client)
        self._is_cancelled = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell_at_times, name="daskml-kit-job", daemon=True)

    def hear(self, progress: Progress) -> None:
        """Take in how far a search is.

        Raises
        ------
        CancelledError
            Where the job was cancelled.
        """
        self.progress = progress._replace(passes=self.progress.passes)
        self._check()

    def count_pass(self, profile: Profile) -> None:
        """Take in that there was a pass; raise as `hear` does."""
        self.progress = self.progress._replace(passes=self.progress.passes + 1)
        self._check()

    def __enter__(self) -> Self:
        self._variable.set(told(self.progress, self.worker))
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        self._thread.join()
        if not self._is_cancelled:
            self._variable.set(told(self.progress, self.worker, ended=True))

    def _tell_at_times(self) -> None:
        known = self.progress
        while not self._ended.wait(TELL_SECONDS):
            self._is_cancelled = self._is_cancelled or self._cancel.is_set()
            if self.progress != known and not self._is_cancelled:
                known = self.progress
                self._variable.set(told(known, self.worker))

    def _check(self) -> None:
        if self._is_cancelled:
            raise CancelledError("the job was cancelled")


def told(progress: Progress, worker: str | None = None, *, ended: bool = False) -> dict[str, Any]:
    """Return what the variable of a job holds."""
    return {"progress": list(progress), "worker": worker, "ended": ended}


def _fit(reporter: Reporter, estimator: Any, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    X, *target = (inputs[name] for name in ("X", "y") if inputs[name] is not None)
    params = {name: value for name, value in inputs.items() if name not in ("X", "y")}
    with (
        reporter,
        reporter.client.as_current(),
        config_context(**config),
        listening(reporter.hear),
        watching(reporter.count_pass),
    ):
        fitted = estimator.fit(X, *target, **params)
    return estimator if fitted is None else fitted
