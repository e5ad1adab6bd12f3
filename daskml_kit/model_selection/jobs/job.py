"""A fit that runs on a cluster by itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from distributed import CancelledError, Client, Event, Future, Variable, wait

from daskml_kit.errors import LostDataError
from daskml_kit.model_selection.jobs.running import DATA
from daskml_kit.model_selection.search.progress import Progress

JOBS = "daskml-job/"
"""Before a job's name: its key and future, published."""
NEWS_SECONDS = 5.0
ANSWER_SECONDS = 1.0
"""How long the scheduler may take to say that a job has ended, or what there is of it."""


class Job:
    """A fit on a cluster that goes on when the client closes; `submit` and `attach` make them.

    The scheduler holds the job's result, and what was persisted of its data, until `forget`. Where the worker that runs
    a job dies, or one that has its result, the fit is run again on another: by a search from its checkpoint, if it has
    one in a folder that all workers see, else from the start. After as many deaths as
    ``distributed.scheduler.allowed-failures`` allows, three by default, the job has failed.

    Parameters
    ----------
    name : str
    key : str
        Of its task.
    future : distributed.Future or None
        None of a job that was cancelled.
    client : distributed.Client
    """

    def __init__(self, name: str, key: str, future: Future | None, client: Client) -> None:
        self.name, self.key, self.future, self.client = name, key, future, client

    def __repr__(self) -> str:
        return f"<Job {self.name}: {self.status()}>"

    def status(self) -> str:
        """Return "waiting", "running", "finished", "failed", "cancelled", or "lost".

        A job is lost where the cluster has no recipe of it any more, as after a restart.
        """
        if Event(self.key, self.client).is_set():
            self.future = None
        if self.future is None:
            return "cancelled"
        if self.future.status == "pending":
            news = self._news()
            if self.key in self.client.processing().get(news["worker"], ()):
                return "running"
            with self.client.as_current(), suppress(TimeoutError):  # a session that just came has yet to be told
                wait([self.future], timeout=NEWS_SECONDS if news["ended"] else ANSWER_SECONDS)
        ends = {"finished": "finished", "error": "failed", "pending": "waiting"}
        return ends.get(self.future.status, "lost")

    def progress(self) -> Progress:
        """Return how far the fit is, at most about half a second ago.

        Raises
        ------
        LookupError
            Where the job was forgotten.
        """
        return Progress(*self._news()["progress"])

    def result(self, timeout: float | None = None) -> Any:
        """Return the fitted estimator, once it is there; raise what its fit raised.

        Parameters
        ----------
        timeout : float, optional
            Seconds.

        Raises
        ------
        TimeoutError
            Where it takes longer; the job goes on.
        CancelledError
            Where the job was cancelled.
        LostDataError
            Where the job was lost.
        """
        if self.future is not None:
            try:
                return self.future.result(timeout)
            except CancelledError as error:
                if self.status() == "lost":
                    raise LostDataError(f"job {self.name!r} was lost with its cluster: submit it again") from error
                raise
        raise CancelledError(f"job {self.name!r} was cancelled")

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
        self._news()  # the name may be that of another job by now
        self.cancel()
        Variable(self.key, self.client).delete()
        for name in (DATA + self.key, JOBS + self.name):
            self.client.unpublish_dataset(name)

    def _news(self) -> Any:
        try:
            return Variable(self.key, self.client).get(timeout=ANSWER_SECONDS)
        except TimeoutError as error:
            raise LookupError(f"job {self.name!r} was forgotten") from error
