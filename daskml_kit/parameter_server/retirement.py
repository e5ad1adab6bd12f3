"""Retirement of workers that hold ranges of a parameter server, which Dask refuses as long as they hold an actor."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from typing import Any
from weakref import WeakSet

from distributed import Client, Scheduler, SchedulerPlugin

PREFIX = "daskml-parameters-"
"""Before the names of parameter servers, with which the keys of their actors begin."""
NAME = "daskml-ranges-move-first"
MOVE_SECONDS = 60.0
"""Seconds that a retirement waits for ranges to move."""

_prepared: WeakSet[Client] = WeakSet()


def let_ranges_move_first(client: Client) -> None:
    """Let the scheduler of this client retire workers when the ranges that they hold have moved.

    Dask retires no worker that holds an actor. With a plugin, the scheduler's call that all ways to retire come to
    (`Client.retire_workers`, adaptive and other scaling down, the end of a worker's lifetime) first tells the
    supervisors which workers are to go, and waits until these have moved their ranges.
    """
    if client not in _prepared:
        client.register_plugin(_ranges_move_first())
        _prepared.add(client)


def leaving_workers(client: Client, name: str, left: Collection[str]) -> set[str]:
    """Return the workers that are to be retired; ``left`` are those where the server of this name has nothing now."""
    found: list[str] = client.sync(client.scheduler.daskml_leaving_workers, name=name, left=list(left))
    return set(found)


def let_go(client: Client, name: str) -> None:
    """Let the workers be retired where a server of this name was, though somebody may still hold handles of it."""
    client.sync(client.scheduler.daskml_closed_server, name=name)


def _ranges_move_first() -> SchedulerPlugin:
    # A class inside of a function is pickled with its code: a scheduler need not have this package.
    class RangesMoveFirst(SchedulerPlugin):  # type: ignore[misc]
        name = NAME
        idempotent = True

        def start(self, scheduler: Scheduler) -> None:
            self.scheduler, self.leaving, self.left = scheduler, Counter[str](), set[tuple[str, str]]()
            self.retire = scheduler.handlers["retire_workers"]
            scheduler.handlers["retire_workers"] = self.retire_when_moved
            scheduler.handlers["daskml_leaving_workers"] = self.leaving_workers
            scheduler.handlers["daskml_closed_server"] = self.closed_server

        def closed_server(self, name: str) -> None:
            for state in self.scheduler.workers.values():
                state.actors -= {t for t in state.actors if str(t.key).startswith(name) and t.state == "memory"}

        def leaving_workers(self, name: str, left: Collection[str]) -> list[str]:
            self.left.update((name, address) for address in left)
            return list(self.leaving)

        async def retire_when_moved(
            self, workers: Collection[str] | None = None, names: Collection[Any] | None = None, **options: Any
        ) -> Any:
            known = self.scheduler.workers
            if names is not None:
                wanted = {str(name) for name in names}
                workers = [address for address, state in known.items() if str(state.name) in wanted]
            elif workers is None:
                apart = {key: options[key] for key in options if key not in ("close_workers", "remove", "stimulus_id")}
                workers = self.scheduler.workers_to_close(**apart)
                options = {key: value for key, value in options.items() if key not in apart}
            going = [address for address in workers if address in known]
            self.leaving.update(going)
            try:
                await self.until_moved(going)
                return await self.retire(workers=going, **options)
            finally:
                self.leaving -= Counter(going)
                self.left = {place for place in self.left if place[1] in self.leaving}

        async def until_moved(self, going: Collection[str]) -> None:
            deadline = time.monotonic() + MOVE_SECONDS
            while not self.have_moved(going) and time.monotonic() < deadline:
                await asyncio.sleep(0.02)

        def have_moved(self, going: Collection[str]) -> bool:
            if not set(self.scheduler.workers).difference(self.leaving):
                return True  # there is nobody to take them: Dask will refuse
            states = [self.scheduler.workers[address] for address in going if address in self.scheduler.workers]
            held = [(state, task) for state in states for task in state.actors if str(task.key).startswith(PREFIX)]
            for state, task in held:
                if task.state == "memory" and (str(task.key).rpartition("-")[0], state.address) in self.left:
                    state.actors.discard(task)  # it holds nothing any more, and may go with its worker
            return all(task not in state.actors for state, task in held)

    return RangesMoveFirst()
