"""Worker pool on a Dask cluster: retries, lost workers, cancellation, and tasks that give their thread back."""

from __future__ import annotations

import queue
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from distributed import Client, Future, KilledWorker, secede

from daskml_kit.data.collections import workers_of
from daskml_kit.workers.connection import CHECK_SECONDS, ClusterWatch, free_placed_tasks, gather, require_connection
from daskml_kit.workers.hedging import Hedge, find_silent
from daskml_kit.workers.worker_pool import WorkerPool


class ClusterPool(WorkerPool):
    """Pool of the workers of a Dask cluster.

    A task goes to the worker that it is submitted to, unless that is lost or others have time. Where a worker is lost,
    Dask runs its tasks again elsewhere, and computes again what they need; where it is silent, this pool does, and the
    first end counts, so a task may run twice at a time. A task that was on several workers when
    they were lost, ``distributed.scheduler.allowed-failures`` of them, is taken to have killed them, and raises
    `distributed.KilledWorker`, but for so many ``retries``.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    retries : int, default 0
        Deaths of workers beyond those that the scheduler allows a task.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client, ClusterPool(client) as pool:
    ...     base = pool.start(int, "2")
    ...     _ = pool.submit(pow, base, 5, tag="power")
    ...     pool.next()
    Finished(tag='power', value=32)
    """

    def __init__(self, client: Client, retries: int = 0) -> None:
        super().__init__()
        free_placed_tasks(client)
        self.client, self.retries = client, retries
        self._hedge, self._looked = Hedge(client), 0.0
        self._deaths: Counter[Hashable] = Counter()
        self._given: dict[Hashable, tuple[Any, ...]] = {}
        """Arguments of the tasks whose end has not come back."""
        self._started: WeakValueDictionary[Hashable, Future] = WeakValueDictionary()

    def threads(self) -> Mapping[str, int]:
        return {address: worker["nthreads"] for address, worker in self._workers().items()}

    def slots(self) -> Mapping[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for address, worker in self._workers().items():
            found[worker["host"]] += [address] * worker["nthreads"]
        return found

    def _workers(self) -> dict[str, Any]:
        """Return what the scheduler knows of each worker that is not silent."""
        require_connection(self.client)
        workers = workers_of(self.client)
        silent = find_silent({address: worker["last_seen"] for address, worker in workers.items()})
        return {address: worker for address, worker in workers.items() if address not in silent}

    def start(self, function: Callable[..., Any], *args: Any, worker: str | None = None) -> Future:
        """Start a task whose result stays on the cluster, as an argument of tasks that are submitted.

        Parameters
        ----------
        function : callable
            Called on a worker.
        *args : object
            Futures among them are replaced by their values.
        worker : str, optional
            Address of the worker that is to run the task if it can.

        Returns
        -------
        distributed.Future
            Result, on the cluster.
        """
        return self._start(function, function, *args, worker=worker)

    def submit(
        self, function: Callable[..., Any], *args: Any, tag: Any, worker: str | None = None, secede: bool = False
    ) -> Future:
        call = (run_seceded, function) if secede else (function,)
        future = self._start(function, *call, *args, worker=worker)
        self._given[future.key] = args
        self._watch(future.key, tag, future)
        return future

    @staticmethod
    def task_name(function: Callable[..., Any]) -> str:
        """Return the name that the tasks of a function have in common, by which Dask knows how long they take."""
        name = getattr(function, "__name__", type(function).__name__)
        return f"daskml-{name.strip('_').replace('_', '-')}"

    def close(self) -> None:
        if self.client.status == "running":
            self._hedge.release()
            self.client.cancel([*self._started.values()])

    def _start(self, named: Callable[..., Any], function: Callable[..., Any], *args: Any, worker: str | None) -> Future:
        # The first function's name is the one that the dashboard shows: not that of the wrapper that secedes.
        key = f"{self.task_name(named)}-{uuid4().hex}"
        placed = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
        future = self.client.submit(function, *args, key=key, **placed)
        self._started[key] = future
        return future

    def _next_ended(self, timeout: float | None) -> Hashable:
        require_connection(self.client)
        watch, started = ClusterWatch(self.client), time.monotonic()
        while True:
            try:
                key = super()._next_ended(CHECK_SECONDS if timeout is None else min(timeout, CHECK_SECONDS))
            except queue.Empty:
                require_connection(self.client)
                if timeout is None:
                    watch.check()
                self._hedge_running()
                if timeout is not None and time.monotonic() - started >= timeout:
                    raise
                continue
            if key in self._running:  # else the task's stand-in was sooner, or it was
                return key

    def _hedge_running(self) -> None:
        """Start tasks of silent workers on others, too: whichever ends first counts."""
        if time.monotonic() - self._looked < CHECK_SECONDS:
            return
        self._looked = time.monotonic()
        for key in self._hedge.look([future for _, future in self._running.values()]):
            self._hedge.stand_ins[key].add_done_callback(partial(self._stand_in_ended, key))

    def _stand_in_ended(self, key: Hashable, _: Future) -> None:
        self._ended.put(key)

    def _retried(self, key: Hashable, future: Future) -> bool:
        if self._deaths[key] == self.retries or future.status != "error":
            return False
        if not isinstance(future.exception(), KilledWorker):
            return False
        self._deaths[key] += 1
        future.retry()  # with it the tasks that it depends on
        self._watch(key, self._running[key][0], future)
        return True

    def _result(self, future: Future) -> Any:
        found = gather(self.client, [future], self._given.pop(future.key, ()), self._hedge)[0]
        if not future.done():  # its worker, should it be back, has nothing to do for us
            del self._started[future.key]
            future.release()
        self._hedge.stand_ins.pop(future.key, None)
        return found


def run_seceded(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a Dask task, in a thread that the worker no longer counts as one of its own."""
    secede()
    return function(*args)
