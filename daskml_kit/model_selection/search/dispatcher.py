"""Which workers work on which split."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.task_pool import Done, Pool
from daskml_kit.model_selection.search.work_queue import WorkQueue

FITS_A_SLOT = 4
"""Workers share a fold where it has so many candidates for each: they wait for the last of them before the next."""
LOOK_SECONDS = 1.0
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
    """Deals out an agenda to the workers of a pool, one batch a thread at a time, until all is done.

    A lane takes the next split when it is done with one, or joins another lane. Workers that join the pool get lanes of
    their own; what those that leave had left is done by others.

    Parameters
    ----------
    pool : Pool
    agenda : WorkQueue
    keep : callable of (candidate, split) and outcome
    """

    def __init__(self, pool: Pool, agenda: WorkQueue, keep: Callable[[tuple[int, int], Outcome], None]) -> None:
        self.pool, self.agenda, self.keep = pool, agenda, keep
        self.lanes: list[WorkerGroup] = []
        self.lane_of: dict[int, WorkerGroup] = {}  # by batch
        self._looked, self._n_lost = float("-inf"), 0

    def run(self) -> None:
        """Do all that is on the agenda.

        Raises
        ------
        LostDataError
            Where folds are lost again and again.
        """
        while True:
            self._follow_workers()
            for lane in self.lanes:
                self._deal(lane)
            if self.lane_of:
                self._take_in(self.pool.next())
            elif self.agenda.is_done:
                return
            else:  # all workers are gone
                time.sleep(LOOK_SECONDS)

    def _deal(self, lane: WorkerGroup) -> None:
        """Give each free slot of the lane a batch, if need be of another split."""
        if not lane.slots:
            return
        if lane.split is not None and not lane.n_running and not self._has_work(lane):
            self._leave(lane)
        if lane.split is None:
            lane.split = self.agenda.next_split(lane.slots[0], {other.split for other in self.lanes})
            if lane.split is None:
                return
            lane.fold = self._fold_for(lane)
        for slot in list(lane.free):
            batch = self.agenda.take(lane.split, slot, len(lane.slots))
            if batch is None:
                continue
            lane.free.remove(slot)
            lane.n_running += 1
            self.lane_of[id(batch)] = lane
            self.pool.start(batch, lane.fold, slot)

    def _fold_for(self, lane: WorkerGroup) -> Any:
        """Return the fold that another lane of the machine has of this split, or a new one."""
        there = (other.fold for other in self.lanes if (other.machine, other.split) == (lane.machine, lane.split))
        held = next((fold for fold in there if fold is not None), None)
        if held is None and lane.split is not None:
            return self.pool.assemble(lane.split, lane.slots)
        return held

    def _leave(self, lane: WorkerGroup) -> None:
        fold, lane.split, lane.fold = lane.fold, None, None
        if all(other.fold is not fold for other in self.lanes):
            self.pool.release(fold)

    def _replace(self, lost: Any) -> None:
        """Make a fold anew that was lost, for all lanes that had it."""
        held = [lane for lane in self.lanes if lane.fold is lost]
        self._n_lost += bool(held)
        if self._n_lost > MAX_LOST:
            raise LostDataError(f"a fold was lost with its worker {MAX_LOST} times: see the logs of the workers")
        for lane in held:
            lane.fold = None
        for lane in held:
            lane.fold = self._fold_for(lane)

    def _has_work(self, lane: WorkerGroup) -> bool:
        return lane.split is not None and any(self.agenda.has_work(lane.split, slot) for slot in lane.slots)

    def _take_in(self, done: Done) -> None:
        batch, report = done.batch, done.report
        lane = self.lane_of.pop(id(batch))
        lane.n_running -= 1
        if Counter(lane.slots)[done.slot] > Counter(lane.free)[done.slot]:  # else its worker has left
            lane.free.append(done.slot)
        if report is None:
            self.agenda.put_back(batch)
            self._replace(done.fold)
            return
        fits = {number: outcome.fit_time + outcome.score_time for number, outcome in report.outcomes}
        self.agenda.note(batch, report.seconds, report.shared, fits)
        for message in report.warnings:
            warnings.warn(message, UserWarning, stacklevel=2)
        for number, outcome in report.outcomes:
            self.keep((number, batch.split), outcome)

    def _follow_workers(self) -> None:
        """Let lanes go whose workers have left, and open some for those that joined."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        machines = self.pool.slots()
        known: Counter[str] = Counter()
        present = Counter(slot for slots in machines.values() for slot in slots)
        for lane in self.lanes:
            lane.slots = [slot for slot in lane.slots if slot in present]
            lane.free = [slot for slot in lane.free if slot in present]
            known.update(lane.slots)
        self.agenda.disown(present)
        self.lanes = [lane for lane in self.lanes if lane.slots or lane.n_running]
        for machine, slots in machines.items():
            added = sorted((Counter(slots) - known).elements())
            size = max(min(self.agenda.n_independent // FITS_A_SLOT, len(added)), 1)
            for i in range(0, len(added), size):
                self.lanes.append(WorkerGroup(machine, added[i : i + size], added[i : i + size]))
