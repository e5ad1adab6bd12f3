"""Connection to a Dask cluster: bounded waits for its workers and results, and a repair of tasks it would never run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NoReturn, TypeAlias
from weakref import WeakSet

import dask
from dask.typing import Key
from dask.utils import parse_timedelta
from distributed import (
    CancelledError,
    Client,
    Future,
    Scheduler,
    SchedulerPlugin,
    futures_of,
    get_client,
    get_worker,
    wait,
    worker_client,
)

from daskml_kit.exceptions import LostDataError, LostSchedulerError, MissingModuleError, NoWorkersError
from daskml_kit.workers.environment import require_environment
from daskml_kit.workers.hedging import Hedge, Lateness

WAIT_SETTING, DEFAULT_WAIT = "daskml-kit.wait-for-workers", "300s"

LOST_BLOCK = (
    "a block of the data was lost with its worker and cannot be computed again: persist data, or read it from storage; "
    "data that was scattered has no recipe"
)
LOST_SCHEDULER = (
    "the connection to the scheduler was lost, with all that the cluster held: connect a new Client, and call again"
)
NOT_KEPT = "a checkpoint=, of what takes one, or a snapshot of a parameter server keeps what was finished"
LOSSES = {"lost dependencies", "already forgotten", "unknown"}
"""Reasons that Dask gives for a cancelled task where what it needs was lost."""
CHECK_SECONDS = 0.5
"""Between two looks at the cluster while its results are waited for."""
NOTICED_SECONDS = 2.0
"""Within these a client notices that its scheduler is gone."""

IMPORTED_IN = os.getpid()

Outcome: TypeAlias = tuple[list[Any], BaseException | None]
"""Results of tasks, or the error of one."""

logger = logging.getLogger(__name__)
_repaired: WeakSet[Client] = WeakSet()


def wait_for_workers(client: Client) -> Mapping[str, int]:
    """Return the threads of each worker; where there are no workers, as in a cluster that scales up, wait for one.

    Raises
    ------
    NoWorkersError
        After as long as the Dask setting ``daskml-kit.wait-for-workers`` says, by default 300 seconds.
    """
    watch = ClusterWatch(client)
    if not (threads := watch.check()):
        waiting = client.submit(int, pure=False)  # an adaptive cluster starts workers only for tasks
        while not (threads := watch.check()):
            time.sleep(CHECK_SECONDS / 10)
        waiting.release()
    return threads


def release(futures: Iterable[Future]) -> None:
    """Release futures that nobody needs any more, and let the scheduler hear of it before all that is sent to it next.

    Else it may be asked for tasks of the same names before it has forgotten these. Where Dask has fused a lazy target
    with other rows this time, their recipes differ: the scheduler warns, and keeps tasks that nobody wants.
    """
    clients = set()
    for future in futures:
        future.release()
        clients.add(future.client)
    for client in clients:
        if client.status == "running":
            client.sync(asyncio.sleep, 0)  # a turn of the event loop to drop the futures, and one to send the message


def require_connection(client: Client) -> None:
    """Raise at once where Dask would try for half a minute to reach a scheduler that is gone.

    Raises
    ------
    LostSchedulerError
        Where the client has lost its scheduler, or was closed.
    """
    if client.status != "running":
        raise LostSchedulerError(f"{LOST_SCHEDULER}; {NOT_KEPT}")


def require_own_process(client: Client) -> None:
    """Raise where this process was forked from the one whose client this is: nobody here would answer for ever.

    Raises
    ------
    LostSchedulerError
        Where the event loop of the client does not run in this process.
    """
    if os.getpid() == IMPORTED_IN:
        return
    answered = threading.Event()
    client.loop.add_callback(answered.set)
    if not answered.wait(NOTICED_SECONDS):
        raise LostSchedulerError(
            "the current Dask client belongs to the process that this one was forked from, and does not work here: "
            'connect a new Client, start processes by "spawn", or fit without the cluster, under '
            'dask.config.set(scheduler="threads")'
        )


@contextmanager
def telling_lost_scheduler(checkpoint: str | os.PathLike[str] | None = None) -> Iterator[None]:
    """Raise one error for all that Dask raises where a scheduler is lost, which says what a checkpoint has kept.

    Raises
    ------
    LostSchedulerError
        Where the scheduler of the current client was lost inside.
    """
    try:
        client = get_client()
    except ValueError:
        client = None
    try:
        yield
    except Exception as error:
        told = isinstance(error, LostSchedulerError)
        if client is None or not is_lost(client, error) or (told and checkpoint is None):
            raise
        if isinstance(error, (ValueError, TypeError)):  # ours, about arguments or data
            raise
        kept = NOT_KEPT
        if checkpoint is not None:
            kept = f"what was finished is kept in the checkpoint {os.fspath(checkpoint)!r}, where the same fit goes on"
        raise LostSchedulerError(f"{LOST_SCHEDULER}; {kept}") from error


def is_lost(client: Client, error: Exception) -> bool:
    """Return whether a client has lost its scheduler, which a call to it that breaks off may tell a moment before."""
    deadline = time.monotonic() + (NOTICED_SECONDS if isinstance(error, OSError) else 0)
    while client.status == "running" and time.monotonic() < deadline:
        time.sleep(CHECK_SECONDS / 10)
    return bool(client.status != "running")


@contextmanager
def released_task_thread(needed: bool = True) -> Iterator[bool]:
    """Give the thread of the Dask task that this runs in, if any, to the tasks that it waits for inside.

    Parameters
    ----------
    needed : bool, default True
        Whether tasks are waited for.

    Yields
    ------
    bool
        Whether this runs in a task.
    """
    inside = in_task()
    # Dask's own way also knows a thread that has left before, in the caller's `worker_client`, and that of an actor.
    with worker_client() if inside and needed else nullcontext():
        yield inside


def in_task() -> bool:
    """Tell whether this thread runs a task of a Dask worker."""
    try:
        get_worker()
    except ValueError:
        return False
    return True


def held_futures(collection: Any) -> list[Future]:
    """Return the futures in a collection that a client follows: those of an argument of a task have none yet."""
    return [future for future in futures_of(collection) if future.client is not None]


def finish(futures: Sequence[Future]) -> None:
    """Wait for futures of the current client, while the cluster is alive; raise what their tasks raise.

    Raises
    ------
    NoWorkersError, LostSchedulerError
        As `gather`.
    LostDataError
        Where a block was lost with its worker, and cannot be computed again.
    """
    watch = ClusterWatch(get_client())
    with released_task_thread():
        while True:
            try:
                wait(futures, timeout=CHECK_SECONDS)
                break
            except TimeoutError:
                watch.check()
            except CancelledError as error:
                _raise_reason(watch.client, error, ())
    for future in futures:
        if future.status != "finished":
            future.result()


class ClusterWatch:
    """Watch over a cluster while something of it is waited for.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._empty_since: float | None = None

    def check(self) -> Mapping[str, int]:
        """Return the threads of each worker.

        Raises
        ------
        NoWorkersError
            Where there have been no workers for as long as the setting says.
        LostSchedulerError
            Where there is no scheduler any more.
        MissingModuleError
            Where a worker lacks this package, or has another version.
        """
        require_connection(self.client)
        threads: Mapping[str, int] = self.client.nthreads()
        if not in_task():  # there what submitted the task has looked
            require_environment(self.client, threads)
        patience = dask.config.get(WAIT_SETTING, DEFAULT_WAIT)
        if threads:
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = time.monotonic()
            logger.warning("no workers: waiting up to %s for one to join %s", patience, self.client)
        elif time.monotonic() - self._empty_since > parse_timedelta(patience):
            raise NoWorkersError(
                f"no worker joined the cluster in {patience}: start some, or raise the Dask setting {WAIT_SETTING!r}"
            )
        return threads


def gather(client: Client, futures: Sequence[Future], needed: Any = (), hedge: Hedge | None = None) -> list[Any]:
    """Return the results of futures, however long they take, while the cluster is alive.

    What waits for a silent worker is computed on another, too, and what comes first is taken: see `Hedge`.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    futures : sequence of Future
    needed : object
        The arguments of their tasks: where these are cancelled, an error of a future among them is the reason.
    hedge : Hedge, optional
        Keeps the stand-ins of ``needed``, for tasks to come.

    Raises
    ------
    NoWorkersError
        Where there have been no workers for as long as the setting ``daskml-kit.wait-for-workers`` says.
    LostSchedulerError
        Where there is no scheduler any more.
    LostDataError
        Where data that a task needs was lost with a worker, and cannot be computed again.
    CancelledError
        Where someone else has cancelled a task.
    """
    hedge = hedge or Hedge(client)
    calls = [_start(client, futures)]
    if any(future.key in hedge.stand_ins for future in futures):
        calls.append(_start(client, [hedge.stand_ins.get(future.key, future) for future in futures]))
    watch, lateness = ClusterWatch(client), Lateness(futures)
    try:
        while True:
            done, _ = concurrent.futures.wait(calls, CHECK_SECONDS, concurrent.futures.FIRST_COMPLETED)
            if not done:
                watch.check()
                if hedge.look([*futures, *futures_of(needed)], lateness.least_silence()):
                    calls.append(_start(client, [hedge.stand_ins.get(future.key, future) for future in futures]))
                continue
            results, error = done.pop().result()
            if isinstance(error, CancelledError):
                _raise_reason(client, error, needed)
            if error is not None:
                raise error
            return results  # the other calls end with their futures, whose owner may cancel them
    except BaseException:
        for call in calls:
            call.cancel()
        raise


def _raise_reason(client: Client, error: Any, needed: Any) -> NoReturn:
    reason = _reason(client, error, needed)
    if reason is error:  # which must not be its own cause: Dask, in a task, follows causes to their end
        raise error
    raise reason from error


def _reason(client: Client, error: Any, needed: Any) -> BaseException:
    """Return the error that tells why tasks were cancelled."""
    for future in futures_of(needed):
        if future.status == "error":
            return _told(future.exception())
    require_connection(client)
    reasons = {group.reason for group in getattr(error, "error_groups", ())} | {getattr(error, "reason", None)}
    if reasons & LOSSES:
        return LostDataError(LOST_BLOCK)
    return error  # type: ignore[no-any-return]


def _told(error: Any) -> BaseException:
    """Return the error, or one that tells what to do where the cluster lacks a module that the client has."""
    cause = error
    while cause is not None and not isinstance(cause, ImportError):
        cause = cause.__cause__
    if cause is None:
        return error  # type: ignore[no-any-return]
    return MissingModuleError(
        f"the cluster cannot import what the fit sends to it: {cause}; install it on the scheduler and the workers",
        name=cause.name,
    )


def settle(client: Client, futures: Sequence[Future]) -> dict[Any, Future]:
    """Wait for futures as `finish` does; return them by their keys, or stand-ins where workers were silent.

    Raises
    ------
    NoWorkersError, LostSchedulerError, LostDataError
        As `finish`.
    """
    hedge, watch = Hedge(client), ClusterWatch(client)
    with released_task_thread():
        while True:
            ended = {
                future.key: next((own for own in (hedge.stand_ins.get(future.key), future) if own and own.done()), None)
                for future in futures
            }
            waiting = [future for future in futures if ended[future.key] is None]
            if not waiting:
                break
            try:
                wait([hedge.stand_ins.get(future.key, future) for future in waiting], CHECK_SECONDS)
            except TimeoutError:
                watch.check()
                hedge.look(waiting)
            except CancelledError as error:
                _raise_reason(client, error, ())
    settled = {key: own for key, own in ended.items() if own}
    finish(list(settled.values()))
    return settled


def _start(client: Client, futures: Sequence[Future]) -> concurrent.futures.Future[Outcome]:
    return asyncio.run_coroutine_threadsafe(_outcome(client, futures), client.loop.asyncio_loop)


async def _outcome(client: Client, futures: Sequence[Future]) -> Outcome:
    # An error is returned: raised, that of a cancelled future would be taken for the end of this coroutine.
    try:
        return await client.gather(list(futures), asynchronous=True), None
    except (Exception, CancelledError) as error:
        return [], error


def free_placed_tasks(client: Client) -> None:
    """Let tasks with ``allow_other_workers`` outlive the death of all workers, on the scheduler of this client.

    Dask lets such a task run elsewhere when its own worker dies, but not one that waited while there was no worker at
    all (``Scheduler.bulk_schedule_unrunnable_after_adding_worker``): it would wait for that address for ever.
    """
    if client not in _repaired:
        client.register_plugin(_free_placed_tasks())
        _repaired.add(client)


def _free_placed_tasks() -> SchedulerPlugin:
    # A class inside of a function is pickled with its code: a scheduler need not have this package.
    class FreePlacedTasks(SchedulerPlugin):  # type: ignore[misc]
        name = "daskml-free-placed-tasks"
        idempotent = True

        def start(self, scheduler: Scheduler) -> None:
            self.scheduler = scheduler

        def transition(self, key: Key, start: str, finish: str, *args: object, **kwargs: object) -> None:
            if finish == "no-worker" and self.scheduler.tasks[key].loose_restrictions:
                self.scheduler.set_restrictions({key: None})

    return FreePlacedTasks()
