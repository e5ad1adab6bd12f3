"""The task in which a job's fit runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import Context
from typing import Any

from distributed import CancelledError, Client, Event, Variable, get_client, get_worker, secede
from sklearn import config_context

from daskml_kit.engines.profile import Profile, watching
from daskml_kit.model_selection.search.progress import Progress, listening

TELL_SECONDS = 0.5


def run_fit(key: str, estimator: Any, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Return the estimator, fitted to the inputs of its ``fit``."""
    worker = get_worker().address
    client = get_client()
    secede()  # the fit's own tasks need the thread
    # in a context of its own the fit is not inside a task: it has the cluster as a session would
    return Context().run(_fit, Reporter(key, worker, client), estimator, inputs, config)


class Reporter:
    """Tells how far a fit is, by a variable on the scheduler, and ends it once the job is cancelled.

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
        self._variable, self._cancelled = Variable(key, client), Event(key, client)
        self._told = float("-inf")

    def hear(self, progress: Progress) -> None:
        self.progress = progress._replace(passes=self.progress.passes)
        self._tell_at_times()

    def count_pass(self, profile: Profile) -> None:
        self.progress = self.progress._replace(passes=self.progress.passes + 1)
        self._tell_at_times()

    def tell(self, *, ended: bool = False) -> None:
        """Write the progress down.

        Raises
        ------
        CancelledError
            Where the job was cancelled.
        """
        if self._cancelled.is_set():
            raise CancelledError("the job was cancelled")
        self._variable.set(told(self.progress, self.worker, ended=ended))
        self._told = time.monotonic()

    def _tell_at_times(self) -> None:
        if time.monotonic() >= self._told + TELL_SECONDS:
            self.tell()


def told(progress: Progress, worker: str | None = None, *, ended: bool = False) -> dict[str, Any]:
    """Return what the variable of a job holds."""
    return {"progress": list(progress), "worker": worker, "ended": ended}


def _fit(reporter: Reporter, estimator: Any, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    X, *target = (inputs[name] for name in ("X", "y") if inputs[name] is not None)
    params = {name: value for name, value in inputs.items() if name not in ("X", "y")}
    reporter.tell()
    with reporter.client.as_current(), config_context(**config):
        try:
            with listening(reporter.hear), watching(reporter.count_pass):
                fitted = estimator.fit(X, *target, **params)
        finally:
            reporter.tell(ended=True)
    return estimator if fitted is None else fitted
