"""Hedging against hung workers: what only silent workers have or compute is computed on others, too, under new names.

A worker is silent whose last heartbeat is by `SILENT_SECONDS` older than the newest of all workers, and four times as
old as that of the median worker: where all are late, as in tasks that hold the interpreter, none is taken for hung.
Where half of the tasks of a pass ended long ago, `LATE_SECONDS` are enough.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from dask.highlevelgraph import HighLevelGraph
from distributed import Client, Future, Scheduler

from daskml_kit.data.collections import workers_of

SILENT_SECONDS = 5.0
"""A worker sends a heartbeat each half second, or each few seconds in a cluster of hundreds; one that imports modules
on a busy machine was seen to send none for four."""
LATE_SECONDS = 2.0
"""The least age of the last heartbeat of a worker that lets a pass wait: taken for hung by mistake, it costs that its
part is computed twice, which is nothing beside the wait."""
LATE_FACTOR = 3.0
"""How many times as long as its faster half a pass takes before what it waits for is late."""

logger = logging.getLogger(__name__)


def silent_workers(client: Client) -> dict[str, float]:
    """Return the workers that are silent, and for how many seconds they have been."""
    workers = workers_of(client)
    return find_silent({address: worker["last_seen"] for address, worker in workers.items()})


def find_silent(last_seen: Mapping[str, float], seconds: float | None = None) -> dict[str, float]:
    """Return the silent workers by the times of their last heartbeats, on the scheduler's clock.

    Parameters
    ----------
    last_seen : mapping of str to float
    seconds : float, optional
        The least age of a last heartbeat that is silence: by default `SILENT_SECONDS`.

    Examples
    --------
    >>> find_silent({"a": 4.0, "b": 9.8, "c": 10.0})
    {'a': 6.0}
    >>> find_silent({"a": 4.0, "b": 8.0, "c": 10.0})
    {}
    >>> find_silent({"a": 7.0, "b": 9.8, "c": 10.0}, LATE_SECONDS)
    {'a': 3.0}
    """
    newest = max(last_seen.values(), default=0.0)
    ages = sorted(newest - seen for seen in last_seen.values())
    least = SILENT_SECONDS if seconds is None else seconds
    limit = max(least, 4 * ages[(len(ages) - 1) // 2]) if ages else 0.0
    return {address: newest - seen for address, seen in last_seen.items() if newest - seen > limit}


class Lateness:
    """Lateness of what a pass waits for: whether its faster half has ended, and how long ago.

    Parameters
    ----------
    futures : sequence of Future
        The tasks of the pass, which have just been started.
    """

    def __init__(self, futures: Sequence[Future]) -> None:
        self._futures, self._started = futures, time.monotonic()
        self._half: float | None = None

    def least_silence(self) -> float | None:
        """Return the least age of a last heartbeat that is silence now; None where nothing is late."""
        passed = time.monotonic() - self._started
        if self._half is None and 2 * sum(future.done() for future in self._futures) >= len(self._futures):
            self._half = passed
        is_late = self._half is not None and passed >= max(LATE_FACTOR * self._half, LATE_SECONDS)
        return LATE_SECONDS if is_late else None


class Hedge:
    """Hedge of the tasks that one caller waits for.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.

    Attributes
    ----------
    silent : dict of str to float
        The workers that were silent at the last look, and their seconds.
    stand_ins : dict
        Futures of what was started anew, by the keys of the futures that they stand for.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.silent: dict[str, float] = {}
        self.stand_ins: dict[Any, Future] = {}
        self._told: set[str] = set()
        self._suspected: dict[str, float] = {}
        """Times of the last heartbeats of silent workers, which stay so until they send another."""

    def find_silent(self, seconds: float | None = None) -> dict[str, float]:
        """Look for workers that are silent now, and return them; see the function of this name."""
        workers = workers_of(self.client)
        last_seen = {address: worker["last_seen"] for address, worker in workers.items()}
        newest = max(last_seen.values(), default=0.0)
        still = {worker: newest - at for worker, at in self._suspected.items() if last_seen.get(worker) == at}
        self.silent = find_silent(last_seen, seconds) | still
        self._suspected = {worker: last_seen[worker] for worker in self.silent}
        return self.silent

    def look(self, futures: Iterable[Future], seconds: float | None = None) -> list[Any]:
        """Start those of some tasks anew that wait for a silent worker, or whose results only such workers have.

        With them are computed again, from the tasks that the scheduler keeps, the inputs that cannot be had elsewhere.
        The new tasks have names of their own, so that no worker that waits for the old ones is in their way.

        Parameters
        ----------
        futures : iterable of Future
        seconds : float, optional
            The least age of a last heartbeat that is silence.

        Returns
        -------
        list
            Keys of the futures that have a new stand-in.
        """
        if not self.find_silent(seconds):
            return []
        own = {future.key: self.stand_ins.get(future.key, future).key for future in futures}
        specs, hopeless = self.client.run_on_scheduler(_find_stuck(), list(own.values()), set(self.silent))
        self._tell(bool(specs), bool(hopeless))
        names = {key: f"daskml-again-{uuid.uuid4().hex}" for key in specs}
        graph = {
            names[key]: (_same, Future(key, self.client)) if spec is None else spec.substitute(names, key=names[key])
            for key, spec in specs.items()
        }
        wanted = {first: names[key] for first, key in own.items() if key in specs}
        live = [worker for worker in self.client.nthreads() if worker not in self.silent]
        if not (wanted and live):
            return []
        placed = {"workers": live, "allow_other_workers": True}
        layers = HighLevelGraph.from_collections("daskml-again", graph)  # of a mere dict Dask would hash all values
        self.stand_ins.update(
            zip(wanted, self.client.get(layers, [*wanted.values()], sync=False, **placed), strict=True)
        )
        return list(wanted)

    def release(self) -> None:
        """Let go of the stand-ins; before tasks are canceled, since the scheduler fails where others depend on them."""
        for future in self.stand_ins.values():
            future.release()
        self.stand_ins.clear()

    def _tell(self, some_again: bool, some_hopeless: bool) -> None:
        new = sorted(set(self.silent) - self._told)
        if not new or not (some_again or some_hopeless):
            return
        self._told.update(new)
        who = ", ".join(f"{worker} (for {self.silent[worker]:.0f} s)" for worker in new)
        if some_hopeless:
            logger.warning("silent workers have what cannot be computed elsewhere, which is waited for: %s", who)
        else:
            logger.warning("silent workers: what they have or compute is computed on others, too: %s", who)


def _same(value: Any) -> Any:
    return value


def _find_stuck() -> Callable[..., tuple[dict[Any, Any], list[Any]]]:
    # A function inside of a function is pickled with its code: a scheduler need not have this package.
    def find_stuck(
        keys: Collection[Any], silent: Collection[str], dask_scheduler: Scheduler
    ) -> tuple[dict[Any, Any], list[Any]]:
        """Return the tasks that computing ``keys`` without silent workers takes, and the keys it is impossible for.

        A task is None where its result lies on another worker, too, and is to be had from there.
        """
        stuck: dict[Any, bool] = {}
        specs: dict[Any, Any] = {}
        stack = [key for key in keys if key in dask_scheduler.tasks]
        while stack:
            task = dask_scheduler.tasks[stack[-1]]
            holders = {worker.address for worker in task.who_has or ()}
            if task.key in stuck or task.state == "erred" or (holders and holders.isdisjoint(silent)):
                stuck.setdefault(stack.pop(), False)
                continue
            if not holders.issubset(silent):  # others could ask the silent one for it
                stuck[task.key], specs[stack.pop()] = True, None
                continue
            unknown = [other.key for other in task.dependencies if other.key not in stuck]
            if unknown:
                stack += unknown
                continue
            key, runner = stack.pop(), task.processing_on
            missing = [other for other in task.dependencies if runner is None or runner not in (other.who_has or ())]
            stuck[key] = (
                bool(holders)
                or task.state == "released"  # not kept, and needed by what is computed again
                or (runner is not None and runner.address in silent)
                or any(stuck[other.key] for other in missing)
            )
            placed = task.worker_restrictions or task.host_restrictions or task.resource_restrictions
            can_move = task.run_spec is not None and not task.actor and (task.loose_restrictions or not placed)
            if stuck[key] and can_move and all(not stuck[o.key] or o.key in specs for o in task.dependencies):
                specs[key] = task.run_spec
        return specs, [key for key in keys if stuck.get(key) and key not in specs]

    return find_stuck
