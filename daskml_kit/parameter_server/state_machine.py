"""State machine of a server: a range of the parameters as a function of the messages, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.optim import State, Update, apply_rows
from daskml_kit.parameter_server.layout import FieldRange, Layout
from daskml_kit.parameter_server.protocol import (
    NO_ROWS,
    Consistency,
    Enter,
    Gradient,
    Leave,
    LossSums,
    Message,
    Push,
    ReadRequest,
    Reply,
    RowGradient,
    ServerCounts,
    StepParts,
    WeightedGradient,
    contributor,
)
from daskml_kit.reductions.reduction import Node, SingleReduction, reduce_nodes
from daskml_kit.typing import Array


class GradientSum(SingleReduction):
    """Sum of weighted gradients, combined in the tree over virtual workers."""

    def chunk(self, block: Any) -> WeightedGradient:
        raise TypeError("partial sums come from workers")

    def combine(self, a: WeightedGradient, b: WeightedGradient) -> WeightedGradient:
        """Return the sum of two partial sums; rows that are in both stand there twice.

        Examples
        --------
        >>> GradientSum().combine(WeightedGradient(1.0, np.ones(2)), WeightedGradient(0.0, None))[:2]
        (1.0, array([1., 1.]))
        """
        return WeightedGradient(a.weight + b.weight, _sum(a.total, b.total), a.sums.plus(b.sums))


def _sum(a: Gradient, b: Gradient) -> Gradient:
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _joined(a + b)
    if isinstance(a, tuple) or isinstance(b, tuple):
        raise DataError("gradients: expected all workers of a step to push all parameters whole, or all not to")
    return a + b


def _joined(parts: tuple[RowGradient, ...]) -> tuple[RowGradient, ...]:
    own = [[part for part in parts if part.name == name] for name in dict.fromkeys(part.name for part in parts)]
    return tuple(
        RowGradient(p[0].name, np.concatenate([x.rows for x in p]), np.concatenate([x.values for x in p])) for p in own
    )


@dataclass
class StateMachine:
    """Parameters, the state of their update rule, and what has been applied.

    Two machines that took the same messages in the same order are equal to the bit, which is what replication rests on.

    Parameters
    ----------
    vector : array
    update : Update
    spans : list of FieldRange
        The rows of fields that ``vector`` holds.
    consistency : Consistency
    """

    vector: Array
    update: Update
    spans: list[FieldRange]
    consistency: Consistency = field(default_factory=Consistency)
    state: State = ()
    version: int = 0
    numbers: dict[str, tuple[int, int]] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    early: list[StepParts] = field(default_factory=list)
    """Of steps that come later, from workers that push again before they read."""
    staleness_counts: Counter[int] = field(default_factory=Counter)
    late: int = 0
    """Contributions that came after their step had gone on without them."""
    epoch: int = 0
    """Of the last synchronous step."""
    sums: LossSums = NO_ROWS
    """Over the rows of that epoch: here, and not with the workers, they outlive these, and have each step once."""

    def __post_init__(self) -> None:
        if not self.state:
            self.state = self.update.init(self.vector)
        self._bounds = dict(self.consistency.tables)
        in_step = [span.slice.stop for span in self.spans if span.name not in self._bounds]
        self._n_in_step = max(in_step, default=0) if self._bounds else len(self.vector)
        """Elements of the vector that move in step; tables come after them."""
        self._is_apart = bool(self._bounds) and bool(self.spans) and not in_step
        """Whether all that this range holds is out of step."""

    def apply(self, message: Message) -> None:
        """Apply a message; one that was applied before changes nothing."""
        if isinstance(message, Push):
            self._push(message)
        elif isinstance(message, StepParts):
            self._add_parts(message)
        elif isinstance(message, Enter):
            self.clocks.setdefault(message.worker, min(self.clocks.values(), default=0))
        elif isinstance(message, Leave):
            self.clocks.pop(message.worker, None)

    def is_ready(self, wanted: ReadRequest) -> bool:
        """Return whether a worker may read now: the version is there, or its clock is within the staleness bound."""
        if self.consistency.staleness == 0:
            return self._has_steps(wanted)
        clock = self.clocks.get(wanted.worker)
        return clock is None or clock - min(self.clocks.values()) <= self.consistency.staleness

    def read(self, wanted: ReadRequest, copy: Callable[[Array], Array] = np.copy) -> Reply:
        """Return copies of the wanted parameters, that of the whole range made by ``copy``."""
        if wanted.rows is None:
            return Reply(True, self.version, (copy(self.vector),))
        return Reply(True, self.version, tuple(np.array(self._view(name)[rows]) for name, rows in wanted.rows))

    def number(self, worker: str) -> tuple[int, int]:
        """Return the number of a worker's last push."""
        return self.numbers.get(worker, (-1, -1))

    def has_parts(self, step: int, virtual_workers: Sequence[int]) -> bool:
        """Return whether the contributions of virtual workers to a step have come."""
        if self._is_apart:
            return all(self.number(contributor(own))[1] >= step for own in virtual_workers)
        there = {leaf for node in self.nodes for leaf in self._leaves(node)}
        return step < self.version or there.issuperset(virtual_workers)

    def counts(self) -> ServerCounts:
        """Return the counters."""
        return ServerCounts(self.version, self.staleness_counts.copy(), self.late)

    def epoch_sums(self) -> LossSums:
        """Return the sums over the rows of the epoch of the last synchronous step."""
        return self.sums

    def copy(self) -> StateMachine:
        """Return a copy of all that there is."""
        return deepcopy(self)

    def _has_steps(self, wanted: ReadRequest) -> bool:
        """Return whether the step is there that what is read in step waits for, and no table lags by too much."""
        asked = [span.name for span in self.spans] if wanted.rows is None else [name for name, _ in wanted.rows]
        only_tables = self._is_apart or (bool(asked) and all(name in self._bounds for name in asked))
        if not only_tables and self.version < wanted.version:
            return False
        bound = min((self._bounds[name] for name in asked if name in self._bounds), default=np.inf)
        least = wanted.version - 1 - bound
        return least < 0 or all(
            self.number(contributor(own))[1] >= least for own in range(self.consistency.virtual_workers)
        )

    def _push(self, push: Push) -> None:
        if push.number <= self.number(push.worker):
            return
        self.numbers[push.worker] = push.number
        if push.worker in self.clocks:
            self.clocks[push.worker] += 1
        if push.gradient is None:
            return
        if self._is_apart:
            self._catch_up(push.seen)
        self.staleness_counts[max(self.version - push.seen, 0)] += 1
        if self._bounds:
            self._apply_apart(push.gradient)
        else:
            self.version += 1
            self._apply(push.gradient, 1.0)

    def _catch_up(self, step: int) -> None:
        """Count the steps that others have made, which this range hears of by pushes only."""
        while self.version < step:
            self.version += 1
            self._apply_parts([])

    def _apply_apart(self, gradient: Gradient) -> None:
        """Move rows of tables; only steps are counted, by which the rates of all parameters go."""
        counts = [(count, count.copy()) for count in self.state if not count.ndim]
        if isinstance(gradient, tuple):
            self._apply_parts([*gradient])
        for count, before in counts:
            count[...] = before

    def _add_parts(self, parts: StepParts) -> None:
        if parts.step > self.version:
            self.early.append(parts)
            return
        if parts.step < self.version:
            self.late += len(parts.nodes)
            return
        there = {leaf for node in self.nodes for leaf in self._leaves(node)}
        new = [node for node in parts.nodes if not there.intersection(self._leaves(node))]
        self.nodes = reduce_nodes(GradientSum(), [*self.nodes, *new], self.consistency.virtual_workers)
        present = sum(len(self._leaves(node)) for node in self.nodes)
        if present >= self.consistency.virtual_workers - self.consistency.backup_workers:
            self._step(parts.epoch)

    def _leaves(self, node: Node) -> range:
        return range(
            node.position << node.level, min((node.position + 1) << node.level, self.consistency.virtual_workers)
        )

    def _step(self, epoch: int) -> None:
        total = WeightedGradient(0.0, None)
        for node in sorted(self.nodes, key=lambda node: self._leaves(node).start):
            total = GradientSum().combine(total, node.partial)
        self.nodes = []
        self.version += 1
        self.epoch, self.sums = epoch, (self.sums if epoch == self.epoch else NO_ROWS).plus(total.sums)
        if total.total is not None and total.weight > 0:
            self._apply(total.total, total.weight)
        early, self.early = self.early, []
        for parts in early:
            self._add_parts(parts)

    def _apply(self, gradient: Array | tuple[RowGradient, ...], weight: float) -> None:
        if isinstance(gradient, tuple):
            self._apply_parts([p if weight == 1 else p._replace(values=p.values / weight) for p in gradient])
        else:
            mean = gradient if weight == 1 else gradient / weight
            if self._n_in_step == len(self.vector):
                self.vector, self.state = self.update.apply(mean, self.state, self.vector)
            else:  # views, written to
                own = tuple(array[: self._n_in_step] if array.ndim else array for array in self.state)
                self.update.apply(mean, own, self.vector[: self._n_in_step])

    def _apply_parts(self, parts: list[RowGradient]) -> None:
        """Move some rows; it counts as one step, for several fields as for none, and so on all servers alike."""
        counts = [(count, count.copy()) for count in self.state if not count.ndim]
        if not parts:
            nothing = self.vector[:0]
            self.update.apply(nothing, tuple(a[:0] if a.ndim else a for a in self.state), nothing)
        for part in parts:
            for count, before in counts:
                count[...] = before
            self._apply_rows(part)

    def _apply_rows(self, part: RowGradient) -> None:
        span = self._span(part.name)
        own = tuple(a[span.slice].reshape(-1, span.width) if a.ndim else a for a in self.state)  # views, written to
        apply_rows(self.update, part.rows, part.values, own, self._view(part.name))

    def _span(self, name: str) -> FieldRange:
        return next(span for span in self.spans if span.name == name)

    def _view(self, name: str) -> Array:
        span = self._span(name)
        return self.vector[span.slice].reshape(-1, span.width)


def joined(states: Iterable[State]) -> State:
    """Return the state for all parameters from those of the servers, in their order.

    Examples
    --------
    >>> joined([(np.array(3), np.zeros(2)), (np.array(3), np.ones(1))])
    (array(3), array([0., 0., 1.]))
    """
    # The first range has parameters in step, so that its counts are of all steps.
    return tuple(np.concatenate(arrays) if arrays[0].ndim else arrays[0] for arrays in zip(*states, strict=True))


def merged(layout: Layout, machines: Sequence[StateMachine]) -> tuple[dict[str, Array], State]:
    """Return the named parameters, and the state for all of them, of the machines of all ranges."""
    params = layout.unflatten(np.concatenate([machine.vector for machine in machines]))
    return params, joined(machine.state for machine in machines)


def split(
    layout: Layout,
    vector: Array,
    update: Update,
    consistency: Consistency,
    state: State = (),
    counts: Sequence[Mapping[str, Any]] = (),
) -> list[StateMachine]:
    """Return the state machine of each server's range of a ``vector``, with copies of its parts."""
    machines = []
    for number, part in enumerate(layout.ranges()):
        own = tuple(array[part].copy() if array.ndim else array.copy() for array in state)
        kept = counts[number] if counts else {}
        machines.append(StateMachine(vector[part].copy(), update, layout.spans(number), consistency, own, **kept))
    return machines


def check_state(state: State, update: Update, vector: Array) -> None:
    """Raise a `DataError` where a state is not one that the rule has for these parameters."""
    expected, found = [array.shape for array in update.init(vector)], [array.shape for array in state]
    if found != expected:
        raise DataError(f"state: expected arrays of shapes {expected} for {update!r}, got {found}")
