"""Work queue of a search: batches of the candidates that each split has left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from daskml_kit.model_selection.search.pipeline_cache import is_cacheable
from daskml_kit.typing import Array

BATCH_SECONDS = 1.0
"""Short fits travel together, for about so long."""
MAX_BATCH = 500
MAX_SORTED = 10_000
JOINED_SECONDS = 1.0
"""Work that takes longer is worth to be joined by an idle worker, though it has to make anew what others share."""
SHARED_PART = 0.25
"""That is, if what is made anew took at most this part of the time that is left."""


class FitBatch(NamedTuple):
    """Batch of candidates of one split, fitted by one worker one after another."""

    split: int
    group: CandidateGroup
    numbers: Array


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
    n_splits : int
    is_open : bool
        Whether the candidates have nothing in common.
    known : collection of (candidate, split)
        What is not to be done.
    """

    def __init__(
        self,
        groups: Sequence[Array],
        n_splits: int,
        *,
        is_open: bool,
        known: Collection[tuple[int, int]] = frozenset(),
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
        left = {split: self._left(split, process) for split in self.started}
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

    def has_work(self, split: int, process: str) -> bool:
        return any(group.may_be_taken(process) for group in self.started[split])

    def _left(self, split: int, process: str) -> int:
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
        each = group.seconds_each if group.n_done else (self.total / self.n_done if self.n_done else None)
        if each is None:
            return 1
        fair = -(-group.n_left // (2 * n_workers))
        return int(min(max(BATCH_SECONDS / max(each, 1e-6), 1), fair, MAX_BATCH))


def shared_groups(estimator: Any, candidates: Sequence[Mapping[str, Any]]) -> tuple[list[Array], bool]:
    """Return the numbers of the candidates in groups that share transformers, and whether nothing is shared.

    In a group those that share most follow each other.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.preprocessing import StandardScaler
    >>> model = Pipeline([("scale", StandardScaler()), ("ridge", Ridge())])
    >>> grid = [{"scale__with_mean": mean, "ridge__alpha": alpha} for alpha in (1, 2) for mean in (True, False)]
    >>> shared_groups(model, grid)
    ([array([0, 2], dtype=int32), array([1, 3], dtype=int32)], False)
    """
    everything = np.arange(len(candidates), dtype=np.int32)
    if not is_cacheable(estimator):
        return [everything], True
    names = [name for name, _ in estimator.steps[:-1]]
    ranks: list[dict[Any, int]] = [{} for _ in names]
    table = np.empty((len(candidates), len(names)), np.int32)
    for number, params in enumerate(candidates):
        settings: dict[str, list[Any]] = {name: [] for name in names}
        for name in sorted(params):
            step = name.partition("__")[0]
            if step in settings:
                settings[step].append((name, _identity(params[name])))
        for column, name in enumerate(names):
            known = ranks[column]
            table[number, column] = known.setdefault(tuple(settings[name]), len(known))
    order = np.lexsort(table.T[::-1]).astype(np.int32)
    firsts = [estimator.steps[0][1], *(params[names[0]] for params in candidates if names[0] in params)]
    parted = any(isinstance(step, (Pipeline, FeatureUnion, ColumnTransformer)) for step in firsts)
    # any candidates may share a part of a first step that has parts
    edges: Any = [] if parted else np.flatnonzero(np.diff(table[order, 0])) + 1
    return np.split(order, edges), False


def _identity(value: Any) -> Any:
    """Return something hashable that is equal for equal numbers and words, and for the same object."""
    return (type(value), value) if isinstance(value, (str, int, float, bool, type(None))) else id(value)
