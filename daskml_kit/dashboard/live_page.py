"""HTTP server of the live page, in a thread of the process whose fits it shows.

Dask's dashboard takes pages from the scheduler's configuration alone (``distributed.scheduler.http.routes``), before it
starts, and only from packages that it has; and fits may have no scheduler. So the page is beside it, with a link to it.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Self

import dask
from distributed import Client

from daskml_kit.activity import Activity, Curve, SearchActivity, TrainingActivity, activities
from daskml_kit.arguments import check_number
from daskml_kit.model_selection import Job, list_jobs

EVERYWHERE = ("", "0.0.0.0", "::")
STATIC = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
CONTENT_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address is the key
    "X-Content-Type-Options": "nosniff",
}
POLL_SECONDS = 0.1
"""The most that closing waits for the server's thread."""


class Dashboard:
    """Live page of this process's fits, trainings and searches, and of a cluster's jobs.

    It shows what runs and what has ended last: passes with their loss, overhead, epochs, the staleness of pushes, the
    shares of time that workers wait, finished fits of searches with the best score, and the progress of jobs. A thread
    serves it until it is closed or the process ends. Its address has a secret part, as other users of the machine can
    reach the port, too.

    Parameters
    ----------
    host : str, default "127.0.0.1"
        Address to listen at; by default only this machine can reach it.
    port : int, default 0
        Port to listen at; 0 takes one that is free.
    client : distributed.Client, optional
        Client of the cluster whose jobs are shown; by default the current one whenever the page asks.

    Attributes
    ----------
    url : str
        Address of the page. Where the Dask setting ``distributed.dashboard.link`` leads through a proxy, so does this.

    Raises
    ------
    OSError
        Where the port is in use, or the host is none of this machine's.
    KeyError
        Where that Dask setting names an environment variable that is not set.

    See Also
    --------
    daskml_kit.model_selection.list_jobs : The jobs that are shown.
    distributed.Client.dashboard_link : Dask's own dashboard, of tasks, memory and transfers.

    Examples
    --------
    >>> from daskml_kit.linear_model import LogisticRegression
    >>> with Dashboard() as page:
    ...     model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    ...     page.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, client: Client | None = None) -> None:
        check_number("port", port, low=0, high=65535, integer=True)
        if client is not None and not isinstance(client, Client):
            raise TypeError(f"client: expected a Dask client, got {client!r}")
        self.client = client
        self._secret = secrets.token_urlsafe(16)
        self._asking = threading.Lock()
        try:
            self._server = ThreadingHTTPServer((host, port), partial(PageHandler, self._answer))
        except OSError as error:
            raise OSError(f"host: the page cannot be served at {host!r}, port {port}: {error}") from error
        try:
            self.url = f"{_link(host, self._server.server_port)}/{self._secret}/"
        except KeyError:
            self._server.server_close()
            raise
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="daskml-kit-dashboard", daemon=True
        )
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Dashboard: {self.url if self._thread.is_alive() else 'closed'}>"

    def _repr_html_(self) -> str:
        url = escape(self.url)
        return f'<a href="{url}" target="_blank">{url}</a>' if self._thread.is_alive() else "Dashboard: closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the page; what it showed goes on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        """Return the kind and the content of what a path names, or None where that is nothing."""
        _, _, rest = path.partition("?")[0].partition("/")
        secret, slash, name = rest.partition("/")  # without the slash, what the page asks for would be elsewhere
        if not slash or not secrets.compare_digest(secret.encode(), self._secret.encode()):
            return None
        if name in STATIC:
            return STATIC[name].rpartition(".")[2], static(STATIC[name])
        if name == "activities.json":
            now = time.time()
            return "json", as_json({"activities": [activity_facts(activity, now) for activity in activities()]})
        return ("json", as_json(self._cluster_facts())) if name == "jobs.json" else None

    def _cluster_facts(self) -> dict[str, Any]:
        """Return the jobs of the cluster; a lock lets the scheduler have one such question at a time."""
        with self._asking:
            link = None
            try:
                client = self.client or Client.current()
            except ValueError:
                return {"jobs": [], "dask": None}
            try:
                with suppress(KeyError):  # Dask's dashboard was not wanted
                    link = client.dashboard_link
                return {"jobs": [job_facts(job) for job in list_jobs(client)], "dask": link}
            except Exception as error:  # the scheduler may be lost, or the client asynchronous: the page says so
                return {"jobs": [], "dask": None, "error": f"{type(error).__name__}: {error}"}


def _link(host: str, port: int) -> str:
    """Return where a browser finds a port, by the form that Dask's links to dashboards have."""
    form = str(dask.config.get("distributed.dashboard.link")).rpartition("/")[0]  # without the page's name
    name = socket.gethostname() if host in EVERYWHERE else host
    return form.format(**{**os.environ, "scheme": "http", "host": name, "port": port})


class PageHandler(BaseHTTPRequestHandler):
    """Handler of GET requests; all others are refused.

    Parameters
    ----------
    answer : callable
        Returns the kind and the content of what a path names, or None.
    *request : objects
        As of its base class.
    """

    timeout = 30.0  # seconds after which a connection without a request is closed

    def __init__(self, answer: Callable[[str], tuple[str, bytes] | None], *request: Any) -> None:
        self.answer = answer  # the base class reads and answers the request as it is made
        super().__init__(*request)

    def do_GET(self) -> None:
        """Send what is asked for."""
        found = self.answer(self.path)
        with suppress(ConnectionError):  # of a page that was left
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._send(*found)

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{CONTENT_TYPES[kind]}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *details: Any) -> None:
        """Write nothing: a page asks each second."""


@cache
def static(name: str) -> bytes:
    """Return a file of the page."""
    return files(__package__).joinpath(name).read_bytes()


def as_json(value: Any) -> bytes:
    """Return JSON of plain values, null in the place of numbers that are not finite."""
    return json.dumps(_finite(value), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def activity_facts(activity: Activity, now: float) -> dict[str, Any]:
    """Return what the page shows of an activity."""
    profile, ended = activity.profile, activity.ended
    facts: dict[str, Any] = {
        "name": activity.name,
        "status": activity.status,
        "stage": activity.stage,
        "error": activity.error,
        "started": activity.started,
        "seconds": (ended or now) - activity.started,
        "passes": activity.passes,
        "loss": {"name": activity.loss_name, "points": points_of(activity.loss)},
        "training": activity.training and training_facts(activity.training),
        "search": activity.search and search_facts(activity.search, now),
    }
    if profile is not None:
        facts |= {"overhead": profile.overhead(), "threads": profile.n_threads, "where": profile.where}
    return facts


def training_facts(training: TrainingActivity) -> dict[str, Any]:
    """Return what the page shows of a training."""
    return {
        "epochs": training.epochs,
        "loss": points_of(training.loss),
        "validation": points_of(training.validation),
        "rows": training.n_rows,
        "pushes": training.pushes,
        "staleness": sorted(training.staleness.items()),
        "waiting": sorted(training.waiting.items()),
    }


def search_facts(search: SearchActivity, now: float) -> dict[str, Any]:
    """Return what the page shows of a search."""
    facts = {"fits": search.fits, "of": search.of, "splits": search.n_splits, "best": search.best}
    return {**facts, "seconds_left": search.seconds_left(now)}


def job_facts(job: Job) -> dict[str, Any]:
    """Return what the page shows of a job."""
    facts: dict[str, Any] = {"name": job.name, "status": "forgotten"}
    with suppress(LookupError):  # in the meantime
        facts["status"] = job.status()
        facts |= job.progress()._asdict()
    return facts


def points_of(curve: Curve) -> list[tuple[float, float]]:
    """Return a copy of the points of a curve, which may get more of them."""
    return list(curve.points)
