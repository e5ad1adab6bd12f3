"""Dispatcher of a search: assigns batches of the work queue to the workers of a pool, split by split."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.task_pool import FinishedBatch, FitPool
from daskml_kit.model_selection.search.work_queue import WorkQueue

FITS_A_SLOT = 4
"""Workers share a fold where it has so many candidates for each: they wait for the last of them before the next."""
POLL_SECONDS = 1.0
"""Between two looks at which workers there are."""
MAX_LOST = 10


@dataclass(eq=False)
class WorkerGroup:
    """Threads of workers of one machine, that work on one split at a time."""

    machine: str
    slots: list[str]
    free: list[str] = field(default_factory=list)
    split: int | None = None
    fold: Any = None
    n_running: int = 0


class Dispatcher:
    """Assigns the batches of a work queue to the workers of a pool, one a thread at a time, until all is done.

    A group of workers takes the next split when it is done with one, or joins another group. Workers that join the pool
    get groups of their own; what those that leave had left is done by others.

    Parameters
    ----------
    pool : FitPool
    queue : WorkQueue
    keep : callable of (candidate, split) and outcome
    """

    def __init__(self, pool: FitPool, queue: WorkQueue, keep: Callable[[tuple[int, int], Outcome], None]) -> None:
        self.pool, self.queue, self.keep = pool, queue, keep
        self.groups: list[WorkerGroup] = []
        self.group_of: dict[int, WorkerGroup] = {}  # by batch
        self._last_poll, self._n_lost = float("-inf"), 0

    def run(self) -> None:
        """Do all that is in the queue.

        Raises
        ------
        LostDataError
            Where folds are lost again and again.
        """
        while True:
            self._poll_workers()
            for group in self.groups:
                self._assign(group)
            if self.group_of:
                self._collect(self.pool.next())
            elif self.queue.is_done:
                return
            else:  # all workers are gone
                time.sleep(POLL_SECONDS)

    def _assign(self, group: WorkerGroup) -> None:
        """Give each free slot of the group a batch, if need be of another split."""
        if not group.slots:
            return
        if group.split is not None and not group.n_running and not self._has_work(group):
            self._release(group)
        if group.split is None:
            group.split = self.queue.next_split(group.slots[0], {other.split for other in self.groups})
            if group.split is None:
                return
            group.fold = self._fold_for(group, group.split)
        for slot in list(group.free):
            batch = self.queue.take(group.split, slot, len(group.slots))
            if batch is not None:
                group.free.remove(slot)
                group.n_running += 1
                self.group_of[id(batch)] = group
                self.pool.start(batch, group.fold, slot)

    def _fold_for(self, group: WorkerGroup, split: int) -> Any:
        """Return the fold that another group of the machine has of this split, or a new one."""
        there = (other.fold for other in self.groups if (other.machine, other.split) == (group.machine, split))
        existing = next((fold for fold in there if fold is not None), None)
        return self.pool.assemble(split, group.slots) if existing is None else existing

    def _release(self, group: WorkerGroup) -> None:
        fold, group.split, group.fold = group.fold, None, None
        if all(other.fold is not fold for other in self.groups):
            self.pool.release(fold)

    def _replace(self, lost: Any) -> None:
        """Make a fold anew that was lost, for all groups that had it."""
        concerned = [group for group in self.groups if group.fold is lost]
        self._n_lost += bool(concerned)
        if self._n_lost > MAX_LOST:
            raise LostDataError(f"a fold was lost with its worker {MAX_LOST} times: see the logs of the workers")
        for group in concerned:
            group.fold = None
        for group in concerned:
            group.fold = None if group.split is None else self._fold_for(group, group.split)

    def _has_work(self, group: WorkerGroup) -> bool:
        return group.split is not None and any(self.queue.has_work(group.split, slot) for slot in group.slots)

    def _collect(self, finished: FinishedBatch) -> None:
        batch, report = finished.batch, finished.report
        group = self.group_of.pop(id(batch))
        group.n_running -= 1
        if Counter(group.slots)[finished.slot] > Counter(group.free)[finished.slot]:  # else its worker has left
            group.free.append(finished.slot)
        if report is None:
            self.queue.requeue(batch)
            self._replace(finished.fold)
            return
        fits = {number: outcome.fit_time + outcome.score_time for number, outcome in report.outcomes}
        self.queue.add_timing(batch, report.seconds, report.shared, fits)
        for message in report.warnings:
            warnings.warn(message, UserWarning, stacklevel=2)
        for number, outcome in report.outcomes:
            self.keep((number, batch.split), outcome)

    def _poll_workers(self) -> None:
        """Drop groups whose workers have left, and make some of those that joined."""
        if time.monotonic() < self._last_poll + POLL_SECONDS:
            return
        self._last_poll = time.monotonic()
        machines = self.pool.slots()
        known: Counter[str] = Counter()
        present = Counter(slot for slots in machines.values() for slot in slots)
        for group in self.groups:
            group.slots = [slot for slot in group.slots if slot in present]
            group.free = [slot for slot in group.free if slot in present]
            known.update(group.slots)
        self.queue.release_owners(present)
        self.groups = [group for group in self.groups if group.slots or group.n_running]
        for machine, slots in machines.items():
            added = sorted((Counter(slots) - known).elements())
            size = max(min(self.queue.n_independent // FITS_A_SLOT, len(added)), 1)
            for i in range(0, len(added), size):
                self.groups.append(WorkerGroup(machine, added[i : i + size], added[i : i + size]))
