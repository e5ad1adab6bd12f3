"""Threads of a process while it computes (BLAS, Dask tasks), and a plugin that keeps freed memory for the next pass."""

from __future__ import annotations

import ctypes
import numbers
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import dask
import joblib
from distributed import Worker, WorkerPlugin
from threadpoolctl import ThreadpoolController

from daskml_kit.exceptions import DataError
from daskml_kit.workers.connection import in_task

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
DEFAULT_BYTES = 2**17
"""glibc's threshold for both: what is larger is asked of the system anew, and given back at once."""


class KeepFreedMemory(WorkerPlugin):  # type: ignore[misc]
    """Worker plugin that keeps freed blocks of memory for the next task (glibc's malloc thresholds); off by default.

    Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_=65536`` (``distributed.nanny.pre-spawn-environ``), so each
    temporary of more than 128 kB is new memory from the system, whose pages cost as much to touch as what is done with
    them. With the plugin a worker keeps freed blocks up to ``n_bytes``, and at most twice as much at the top of each
    arena, so a worker holds some times ``n_bytes`` more. Where the libc is not glibc, it changes nothing and logs
    an event on the scheduler that says so.

    Parameters
    ----------
    n_bytes : int, default=8388608
        Bytes of the largest block that is kept; the temporaries of a tile of rows are about as large.

    See Also
    --------
    distributed.Client.register_plugin : Starts a plugin on each worker, also on those that join.

    References
    ----------
    ``mallopt(3)``: ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD``.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     workers = client.register_plugin(KeepFreedMemory())
    """

    name = "daskml-keep-freed-memory"
    idempotent = True

    def __init__(self, n_bytes: int = 2**23) -> None:
        self.n_bytes = n_bytes

    def setup(self, worker: Worker) -> None:
        """Raise the thresholds of the worker's process."""
        if not _set_thresholds(self.n_bytes, 2 * self.n_bytes):
            worker.log_event(self.name, "the C library is not glibc: memory is kept as it decides")

    def teardown(self, worker: Worker) -> None:
        """Set the thresholds that the process was started with, and give back what is kept."""
        _set_thresholds(
            int(os.environ.get("MALLOC_MMAP_THRESHOLD_", DEFAULT_BYTES)),
            int(os.environ.get("MALLOC_TRIM_THRESHOLD_", DEFAULT_BYTES)),
        )


def _set_thresholds(mmap: int, trim: int) -> bool:
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        return False
    libc.mallopt(M_MMAP_THRESHOLD, mmap)
    libc.mallopt(M_TRIM_THRESHOLD, trim)
    libc.malloc_trim(0)
    return True


class Blas:
    """Counts the threads inside, so that the first limits BLAS and the last gives its threads back."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.restore: Any = None

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.restore = _controller().limit(limits=1, user_api="blas")
                self.restore.__enter__()

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.restore.__exit__(None, None, None)


_blas = Blas()


@contextmanager
def computing() -> Iterator[None]:
    """Limit BLAS to one thread while any thread of this process is inside."""
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries costs milliseconds: once a process


def check_n_jobs(n_jobs: Any) -> None:
    """Raise unless ``n_jobs`` is None or an integer other than 0."""
    if n_jobs is not None and (not isinstance(n_jobs, numbers.Integral) or isinstance(n_jobs, bool) or n_jobs == 0):
        raise DataError(f"n_jobs: expected a number of threads, or -1 for all, got {n_jobs!r}")


def local_threads() -> int:
    """Return the threads of a local pool by default.

    Returns
    -------
    int
        One inside a Dask task, or where ``dask.config`` names a synchronous scheduler; else its ``num_workers``, or as
        many as there are processors that this process may use.
    """
    if in_task() or dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded"):
        return 1
    return int(dask.config.get("num_workers", None) or joblib.cpu_count())
