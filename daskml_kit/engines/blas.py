"""One BLAS thread inside tasks: the parallelism comes from blocks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
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


_limit = _Limit()


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looking for the libraries costs milliseconds: once a process


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any thread of this process is inside."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()
