"""How a process is set while it computes: one BLAS thread a task, and freed memory kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

TRIM_VARIABLE, MMAP_VARIABLE = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MMAP_BYTES = 2**17
"""Without its variable: glibc asks the system anew for what is larger."""
KEPT_BYTES = 2**23
"""The largest temporaries of tiles and of boosting are about as large; each worker keeps some times as much."""
KEPT_SECONDS = 1.0
"""Passes follow each other: what one has freed the next one takes."""


class Heap:
    """Keeps blocks of up to `KEPT_BYTES` that are freed, where the environment says to give them back at once.

    It does so on Dask's workers (``distributed.nanny.pre-spawn-environ``). Each temporary of a tile would be new
    memory then, and the first touch of its pages would take as long as what is computed. Not thread-safe.
    """

    def __init__(self) -> None:
        self.timer: threading.Timer | None = None
        trim = os.environ.get(TRIM_VARIABLE, "")
        limited = sys.platform.startswith("linux") and trim.isdecimal() and MMAP_VARIABLE not in os.environ
        self.libc = ctypes.CDLL(None) if limited else None
        self.trim = int(trim) if limited else 0
        if not hasattr(self.libc, "mallopt"):  # another libc than glibc
            self.libc = None

    def keep(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        elif self.libc is not None:
            self.libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
            self.libc.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)

    def give_back_later(self, give_back: Any) -> None:
        if self.libc is not None:
            self.timer = threading.Timer(KEPT_SECONDS, give_back)
            self.timer.daemon = True
            self.timer.start()

    def give_back(self) -> None:
        self.timer = None
        if self.libc is not None:
            self.libc.mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
            self.libc.mallopt(M_TRIM_THRESHOLD, self.trim)
            self.libc.malloc_trim(0)


class Settings:
    """Counts the threads inside, so that the first makes the settings and the last undoes them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.blas: Any = None
        self.heap = Heap()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.blas = _controller().limit(limits=1, user_api="blas")
                self.blas.__enter__()
                self.heap.keep()

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.blas.__exit__(None, None, None)
                self.heap.give_back_later(self._undo)

    def _undo(self) -> None:
        with self.lock:
            if self.inside == 0 and self.heap.timer is threading.current_thread():
                self.heap.give_back()


_settings = Settings()


@contextmanager
def computing() -> Iterator[None]:
    """Limit BLAS to one thread, and keep freed memory, while any thread of this process is inside.

    Memory is kept a second longer, for who comes in next.
    """
    _settings.enter()
    try:
        yield
    finally:
        _settings.leave()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries costs milliseconds: once a process
