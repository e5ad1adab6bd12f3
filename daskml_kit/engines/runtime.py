"""How a process is set while it computes: one BLAS thread a task, and freed memory kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
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
"""Passes and calls follow each other: what one has freed the next one takes."""


class Heap:
    """Keeps blocks of up to `KEPT_BYTES` that are freed, where the environment says to give them back at once.

    It does so on Dask's workers (``distributed.nanny.pre-spawn-environ``). Each temporary of a tile, and each message,
    would be new memory then, and the first touch of its pages takes as long as what is done with it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users, self.until = 0, 0.0
        self.watch: threading.Thread | None = None
        trim = os.environ.get(TRIM_VARIABLE, "")
        limited = sys.platform.startswith("linux") and trim.isdecimal() and MMAP_VARIABLE not in os.environ
        self.libc = ctypes.CDLL(None) if limited else None
        self.trim = int(trim) if limited else 0
        if not hasattr(self.libc, "mallopt"):  # another libc than glibc
            self.libc = None

    def keep(self, more_users: int = 0) -> None:
        """Keep what is freed for `KEPT_SECONDS`, and for as long as there are users."""
        if self.libc is None:
            return
        with self.lock:
            self.users += more_users
            self.until = time.monotonic() + KEPT_SECONDS
            if self.watch is None:
                self.libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
                self.libc.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)
                self.watch = threading.Thread(target=self._give_back_in_time, name="daskml-heap", daemon=True)
                self.watch.start()

    def _give_back_in_time(self) -> None:
        left = KEPT_SECONDS
        while self.libc is not None:
            time.sleep(max(left, KEPT_SECONDS / 4))
            with self.lock:
                left = self.until - time.monotonic()
                if left <= 0 and not self.users:
                    self.libc.mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
                    self.libc.mallopt(M_TRIM_THRESHOLD, self.trim)
                    self.libc.malloc_trim(0)
                    self.watch = None
                    return


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


_heap, _blas = Heap(), Blas()


@contextmanager
def computing() -> Iterator[None]:
    """Limit BLAS to one thread, and keep freed memory, while any thread of this process is inside.

    Memory is kept a second longer, for who comes in next.
    """
    _heap.keep(1)
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()
        _heap.keep(-1)


def keep_freed_memory() -> None:
    """Keep freed memory for the next second, for calls that follow each other."""
    _heap.keep()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries costs milliseconds: once a process
