"""Worker pool protocol for long tasks, and the pool of threads of this process."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self

HERE = "this process"
"""The address of the only worker of a local pool."""


class Finished(NamedTuple):
    """A task that has ended: the tag that it was submitted with, and its return value."""

    tag: Any
    value: Any


class WorkerPool(ABC):
    """Pool of workers that run long tasks; results come in the order in which the tasks end.

    What a consumer needs to know of workers, retries, lost workers and cancellation is written here, once: searches,
    adaptive searches and the training by a parameter server submit tasks, and decide which come next by what has ended.
    How many are in flight is theirs to decide, by `n_running`.

    As a context manager the pool cancels what is left when it is closed.
    """

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[Hashable, tuple[Any, Any]] = {}
        """Tag and future of each task, by the future's key."""

    @abstractmethod
    def threads(self) -> Mapping[str, int]:
        """Return the number of threads of each worker that there is now, by its address.

        Returns
        -------
        dict of str to int
        """

    @abstractmethod
    def slots(self) -> Mapping[str, list[str]]:
        """Return the threads of the pool, by host.

        Returns
        -------
        dict of str to list of str
            For each host the addresses of its workers, each as often as the worker has threads.
        """

    @abstractmethod
    def submit(
        self, function: Callable[..., Any], *args: Any, tag: Any, worker: str | None = None, secede: bool = False
    ) -> Any:
        """Submit a task, whose end `next` returns.

        Parameters
        ----------
        function : callable
        *args
            On a cluster, futures among them are replaced by their values.
        tag : object
            Comes back with the result.
        worker : str, optional
            Address of the worker that is to run the task if it can; another does where it is lost or busy.
        secede : bool, default False
            Whether the task gives its thread back to the worker, and runs beside what the worker does. Threads of a
            local pool are nobody else's.

        Returns
        -------
        future
            Of this pool's kind.
        """

    @abstractmethod
    def close(self) -> None:
        """Cancel the tasks that have not ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @property
    def n_running(self) -> int:
        """Number of tasks that were submitted and have not come back from `next`."""
        return len(self._running)

    def next(self, timeout: float | None = None) -> Finished | None:
        """Wait for the next task that ends.

        Parameters
        ----------
        timeout : float, optional
            Seconds; by default as long as it takes.

        Returns
        -------
        Finished or None
            None where no task has ended in time.

        Raises
        ------
        LostDataError
            Where data that a task needs was lost with a worker, and cannot be computed again.
        BaseException
            What the task raised.
        """
        while True:
            try:
                key = self._next_ended(timeout)
            except queue.Empty:
                return None
            tag, future = self._running[key]
            if self._retried(key, future):
                continue
            del self._running[key]
            return Finished(tag, self._result(future))

    def _next_ended(self, timeout: float | None) -> Hashable:
        """Return the key of the next task that ends; raise `queue.Empty` after so many seconds."""
        return self._ended.get(timeout=timeout)  # type: ignore[no-any-return]

    def _watch(self, key: Hashable, tag: Any, future: Any) -> None:
        self._running[key] = tag, future
        future.add_done_callback(lambda _: self._ended.put(key))

    def _retried(self, key: Hashable, future: Any) -> bool:
        """Tell whether a task that has failed was started again."""
        return False

    def _result(self, future: Any) -> Any:
        return future.result()


class LocalPool(WorkerPool):
    """Pool of threads of this process.

    Parameters
    ----------
    n_threads : int
        Number of threads.

    Attributes
    ----------
    stopped : threading.Event
        Set when the pool is closed, for tasks that look at it.

    Examples
    --------
    >>> with LocalPool(2) as pool:
    ...     _ = pool.submit(pow, 2, 5, tag="power")
    ...     pool.next()
    Finished(tag='power', value=32)
    """

    def __init__(self, n_threads: int) -> None:
        super().__init__()
        self.n_threads = n_threads
        self.stopped = threading.Event()
        self._threads = ThreadPoolExecutor(n_threads, "daskml-kit-worker")

    def threads(self) -> Mapping[str, int]:
        return {HERE: self.n_threads}

    def slots(self) -> Mapping[str, list[str]]:
        return {HERE: [HERE] * self.n_threads}

    def submit(
        self, function: Callable[..., Any], *args: Any, tag: Any, worker: str | None = None, secede: bool = False
    ) -> Any:
        future = self._threads.submit(function, *args)
        self._watch(id(future), tag, future)
        return future

    def close(self) -> None:
        self.stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
