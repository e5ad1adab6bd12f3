"""Connection to a Dask cluster: the wait for its first worker, and a repair of tasks that it would never run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from weakref import WeakSet

import dask
from dask.typing import Key
from distributed import Client, Scheduler, SchedulerPlugin

from daskml_kit.exceptions import NoWorkersError

WAIT_SETTING, DEFAULT_WAIT = "daskml-kit.wait-for-workers", "300s"

logger = logging.getLogger(__name__)
_repaired: WeakSet[Client] = WeakSet()


def wait_for_workers(client: Client) -> Mapping[str, int]:
    """Return the threads of each worker; where there are no workers, as in a cluster that scales up, wait for one.

    Raises
    ------
    NoWorkersError
        After as long as the Dask setting ``daskml-kit.wait-for-workers`` says, by default 300 seconds.
    """
    threads: Mapping[str, int] = client.nthreads()
    if threads:
        return threads
    patience = dask.config.get(WAIT_SETTING, DEFAULT_WAIT)
    logger.warning("no workers: waiting up to %s for one to join %s", patience, client)
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError:
        raise NoWorkersError(
            f"no worker joined the cluster in {patience}: start some, or raise the Dask setting {WAIT_SETTING!r}"
        ) from None
    return wait_for_workers(client)


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
