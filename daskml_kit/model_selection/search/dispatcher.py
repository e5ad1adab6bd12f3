"""Dispatcher of a search: assigns batches of a work queue to the workers of a pool, split by split."""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fit_and_score import BatchReport, FitBatch
from daskml_kit.model_selection.search.pipeline_cache import is_cacheable
from daskml_kit.model_selection.search.task_pool import FitPool
from daskml_kit.typing import Array

BATCH_SECONDS = 1.0
"""Short fits travel together, for about so long."""
MAX_BATCH = 500
MAX_SORTED = 10_000
JOINED_SECONDS = 1.0
"""Work that takes longer is worth to be joined by an idle worker, though it has to make anew what others share."""
SHARED_PART = 0.25
"""That is, if what is made anew took at most this part of the time that is left."""
FITS_A_SLOT = 4
"""Workers share a fold where it has so many candidates for each: they wait for the last of them before the next."""
POLL_SECONDS = 1.0
"""Between two looks at which workers there are."""
MAX_LOST = 10


class CandidateGroup:
    """Group of candidates of one split that have transformers in common; only one process works on them.

    Those that have nothing in common with any other are one group, too, that is open to all.
    """

    def __init__(self, numbers: Array, *, is_open: bool) -> None:
        self.numbers, self.is_open = numbers, is_open
        self.position = 0
        self.owner: str | None = None
        self.n_done, self.seconds, self.shared = 0, 0.0, 0.0

    @property
    def n_left(self) -> int:
        return len(self.numbers) - self.position

    @property
    def seconds_each(self) -> float | None:
        """The mean of a candidate, beside what is shared."""
        return max(self.seconds - self.shared, 0.0) / self.n_done if self.n_done else None

    def may_be_taken(self, process: str) -> bool:
        """Return whether ``process`` may take of the group: joining another must be worth it."""
        if not self.n_left:
            return False
        if self.is_open or self.owner in (None, process):
            return True
        left = self.n_left * (self.seconds_each or 0.0)
        return left > JOINED_SECONDS and self.shared < SHARED_PART * left


class WorkQueue:
    """Work queue of the candidates left on each split, with what is known of how long they take.

    Parameters
    ----------
    groups : list of arrays of int
        Numbers of candidates that have transformers in common, or a single array of all.
    is_open : bool
        Whether the candidates have nothing in common.
    n_splits : int
    known : collection of (candidate, split)
        What is not to be done.
    """

    def __init__(
        self, groups: Sequence[Array], is_open: bool, n_splits: int, known: Collection[tuple[int, int]] = frozenset()
    ) -> None:
        self.groups, self.is_open, self.known = groups, is_open, known
        n_known = Counter(split for _, split in known)
        n_candidates = sum(map(len, groups))
        self.waiting = [split for split in range(n_splits) if n_known[split] < n_candidates][::-1]
        self.started: dict[int, list[CandidateGroup]] = {}
        self.seconds: dict[int, float] = {}
        self.n_done, self.total = 0, 0.0

    @property
    def n_independent(self) -> int:
        """Number of workers that can work on a split at a time."""
        return len(self.groups[0]) if self.is_open else len(self.groups)

    @property
    def is_done(self) -> bool:
        """Return whether nothing is left to be taken."""
        return not self.waiting and not any(group.n_left for groups in self.started.values() for group in groups)

    def next_split(self, process: str, active: Collection[int | None]) -> int | None:
        """Return a split for another worker group: one that no worker group is at, or else that with most left to do.

        Parameters
        ----------
        process : str
            A process of the worker group.
        active : collection of int
            The splits that groups of workers are at.
        """
        left = {split: self.n_left(split, process) for split in self.started}
        for split, n_left in left.items():
            if n_left and split not in active:
                return split
        if self.waiting:
            split = self.waiting.pop()
            self.started[split] = self._groups(split)
            return split
        split = max(left, key=left.__getitem__, default=-1)
        each = self.total / self.n_done if self.n_done else JOINED_SECONDS
        return split if split >= 0 and left[split] * each >= JOINED_SECONDS else None

    def take(self, split: int, process: str, n_workers: int) -> FitBatch | None:
        """Return candidates for a worker that has nothing to do, or None where nothing is left for it."""
        open_groups = [group for group in self.started[split] if group.may_be_taken(process)]
        if not open_groups:
            return None
        group = min(open_groups, key=lambda group: (group.owner != process, group.owner is not None))
        group.owner = group.owner or process
        size = self._batch_size(group, n_workers)
        numbers = group.numbers[group.position : group.position + size]
        group.position += len(numbers)
        return FitBatch(split, group, numbers)

    @property
    def n_batches_left(self) -> int:
        """About how many batches are left to be taken."""
        n_candidates = sum(map(len, self.groups))
        n_fits = n_candidates * len(self.waiting)
        n_fits += sum(group.n_left for groups in self.started.values() for group in groups)
        each = self.total / self.n_done if self.n_done else BATCH_SECONDS
        return math.ceil(n_fits * min(each / BATCH_SECONDS, 1.0))

    def requeue(self, batch: FitBatch) -> None:
        """Put the candidates of a batch whose fold was lost back into the queue."""
        again = CandidateGroup(batch.numbers, is_open=self.is_open)
        self.started[batch.split].append(again)

    def add_timing(self, batch: FitBatch, seconds: float, shared: float, fits: Mapping[int, float]) -> None:
        """Take in how long a batch took, and each of its candidates."""
        group = batch.group
        group.n_done += len(batch.numbers)
        group.seconds += seconds
        group.shared += shared
        self.n_done += len(batch.numbers)
        self.total += seconds - shared
        if self.is_open and len(self.groups[0]) <= MAX_SORTED:
            self.seconds.update(fits)

    def release_owners(self, present: Collection[str]) -> None:
        """Let any process take the groups of processes that are no longer present."""
        for groups in self.started.values():
            for group in groups:
                if group.owner not in present:
                    group.owner = None

    def n_left(self, split: int, process: str) -> int:
        """Return how many candidates of a split ``process`` may take."""
        return sum(group.n_left for group in self.started[split] if group.may_be_taken(process))

    def _groups(self, split: int) -> list[CandidateGroup]:
        groups = [self._unknown(numbers, split) for numbers in self.groups]
        if self.is_open and all(number in self.seconds for number in groups[0].tolist()):
            # the longest first, so that workers are done with the split at about the same time
            groups = [np.array(sorted(groups[0].tolist(), key=lambda number: -self.seconds[number]))]
        return [CandidateGroup(numbers, is_open=self.is_open) for numbers in groups if len(numbers)]

    def _unknown(self, numbers: Array, split: int) -> Array:
        if not self.known:
            return numbers
        return np.array([number for number in numbers.tolist() if (number, split) not in self.known], np.int32)

    def _batch_size(self, group: CandidateGroup, n_workers: int) -> int:
        if not self.n_done:
            return 1
        each = self.total / self.n_done if group.seconds_each is None else group.seconds_each
        fair = -(-group.n_left // (2 * n_workers))
        return int(min(max(BATCH_SECONDS / max(each, 1e-6), 1), fair, MAX_BATCH))


def shared_groups(
    estimator: Any, candidates: Sequence[Mapping[str, Any]], chosen: Sequence[int]
) -> tuple[list[Array], bool]:
    """Return the numbers of the chosen candidates in groups that share transformers, and whether nothing is shared.

    In a group those that share most follow each other.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.preprocessing import StandardScaler
    >>> model = Pipeline([("scale", StandardScaler()), ("ridge", Ridge())])
    >>> grid = [{"scale__with_mean": mean, "ridge__alpha": alpha} for alpha in (1, 2) for mean in (True, False)]
    >>> shared_groups(model, grid, range(4))
    ([array([0, 2], dtype=int32), array([1, 3], dtype=int32)], False)
    """
    numbers = np.array(chosen, np.int32)
    if not is_cacheable(estimator):
        return [numbers], True
    names = [name for name, _ in estimator.steps[:-1]]
    ranks: list[dict[Any, int]] = [{} for _ in names]
    table = np.empty((len(chosen), len(names)), np.int32)
    firsts = [estimator.steps[0][1]]
    for row, params in enumerate(candidates[number] for number in chosen):
        firsts += [params[names[0]]] if names[0] in params else []
        settings: dict[str, list[Any]] = {name: [] for name in names}
        for name in sorted(params):
            step = name.partition("__")[0]
            if step in settings:
                settings[step].append((name, _identity(params[name])))
        for column, name in enumerate(names):
            known = ranks[column]
            table[row, column] = known.setdefault(tuple(settings[name]), len(known))
    order = np.lexsort(table.T[::-1]).astype(np.int32)
    parted = any(isinstance(step, (Pipeline, FeatureUnion, ColumnTransformer)) for step in firsts)
    # any candidates may share a part of a first step that has parts
    edges: Any = [] if parted else np.flatnonzero(np.diff(table[order, 0])) + 1
    return np.split(numbers[order], edges), False


def _identity(value: Any) -> Any:
    """Return something hashable that is equal for equal numbers and words, and for the same object."""
    return (type(value), value) if isinstance(value, (str, int, float, bool, type(None))) else id(value)


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
            self.pool.announce(self.queue.n_batches_left)
            if self.group_of:
                self._collect(*self.pool.next())
            elif self.queue.is_done:
                return
            else:
                self.pool.wait_for_workers()
                self._last_poll = float("-inf")

    def _assign(self, group: WorkerGroup) -> None:
        """Give each free slot of the group a batch, if need be of another split."""
        if not group.slots:
            return
        split = group.split
        if split is not None and not (group.n_running or any(self.queue.n_left(split, slot) for slot in group.slots)):
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

    def _collect(self, batch: FitBatch, slot: str, fold: Any, report: BatchReport | None) -> None:
        group = self.group_of.pop(id(batch))
        group.n_running -= 1
        if Counter(group.slots)[slot] > Counter(group.free)[slot]:  # else its worker has left
            group.free.append(slot)
        if report is None:
            self.queue.requeue(batch)
            self._replace(fold)
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
