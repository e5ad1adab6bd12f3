"""A range of the parameters and all that happened to it: a function of the messages, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from daskml_kit.exceptions import DataError
from daskml_kit.optim import State, Update, apply_rows
from daskml_kit.parameter_server.layout import Span
from daskml_kit.parameter_server.protocol import (
    Counts,
    Enter,
    Leave,
    Message,
    Pieces,
    Push,
    Reply,
    RowGradient,
    Share,
    Terms,
    Wish,
)
from daskml_kit.reductions.reduction import Node, SingleReduction, reduce_nodes
from daskml_kit.typing import Array


class Shares(SingleReduction):
    """How weighted sums are combined."""

    def chunk(self, block: Any) -> Share:
        raise TypeError("shares come of trainers")

    def combine(self, a: Share, b: Share) -> Share:
        """Return the sum of two shares; rows that are in both stand there twice.

        Examples
        --------
        >>> Shares().combine(Share(1.0, np.ones(2)), Share(0.0, None))
        Share(weight=1.0, total=array([1., 1.]))
        """
        if a.total is None or b.total is None:
            return Share(a.weight + b.weight, b.total if a.total is None else a.total)
        if isinstance(a.total, tuple) and isinstance(b.total, tuple):
            return Share(a.weight + b.weight, _joined(a.total + b.total))
        if isinstance(a.total, tuple) or isinstance(b.total, tuple):
            raise DataError("gradients: expected all lanes of a step to push all parameters whole, or all not to")
        return Share(a.weight + b.weight, a.total + b.total)


def _joined(parts: tuple[RowGradient, ...]) -> tuple[RowGradient, ...]:
    own = [[part for part in parts if part.name == name] for name in dict.fromkeys(part.name for part in parts)]
    return tuple(
        RowGradient(p[0].name, np.concatenate([x.rows for x in p]), np.concatenate([x.values for x in p])) for p in own
    )


@dataclass
class Store:
    """Parameters, the state of their update rule, and what has been applied.

    Two stores that took the same messages in the same order are equal to the bit, which is what replication rests on.

    Parameters
    ----------
    vector : array
    update : Update
    spans : list of Span
        Which rows of which fields ``vector`` holds.
    terms : Terms
    """

    vector: Array
    update: Update
    spans: list[Span]
    terms: Terms = field(default_factory=Terms)
    state: State = ()
    version: int = 0
    numbers: dict[str, tuple[int, int]] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    early: list[Pieces] = field(default_factory=list)
    """Of steps that come later, from trainers that push again before they read."""
    lags: Counter[int] = field(default_factory=Counter)
    late: int = 0
    """Pieces that came after their step had gone on without them."""

    def __post_init__(self) -> None:
        if not self.state:
            self.state = self.update.init(self.vector)

    def take(self, message: Message) -> None:
        """Apply a message; one that was applied before changes nothing."""
        if isinstance(message, Push):
            self._push(message)
        elif isinstance(message, Pieces):
            self._gather(message)
        elif isinstance(message, Enter):
            self.clocks.setdefault(message.trainer, min(self.clocks.values(), default=0))
        elif isinstance(message, Leave):
            self.clocks.pop(message.trainer, None)

    def is_ready(self, wish: Wish) -> bool:
        """Whether what a trainer wants to read may be read now."""
        if self.terms.staleness == 0:
            return self.version >= wish.version
        clock = self.clocks.get(wish.trainer)
        return clock is None or clock - min(self.clocks.values()) <= self.terms.staleness

    def read(self, wish: Wish, copy: Callable[[Array], Array] = np.copy) -> Reply:
        """Return copies of what is wanted, that of the whole range made by ``copy``."""
        if wish.nothing:
            return Reply(True, self.version)
        if wish.rows is not None:
            found = [self._view(name)[rows] for name, rows in wish.rows]
        elif wish.names is not None:
            found = [self.vector[span.slice].copy() for span in self.spans if span.name in wish.names]
        else:
            found = [copy(self.vector)]
        return Reply(True, self.version, tuple(found))

    @property
    def counts(self) -> Counts:
        return Counts(self.version, self.lags.copy(), self.late)

    def _push(self, push: Push) -> None:
        if push.number <= self.numbers.get(push.trainer, (-1, -1)):
            return
        self.numbers[push.trainer] = push.number
        if push.trainer in self.clocks:
            self.clocks[push.trainer] += 1
        if push.gradient is not None:
            self.lags[max(self.version - push.seen, 0)] += 1
            self.version += 1
            self._apply(push.gradient, 1.0)

    def _gather(self, pieces: Pieces) -> None:
        if pieces.step > self.version:
            self.early.append(pieces)
            return
        if pieces.step < self.version:
            self.late += len(pieces.nodes)
            return
        there = {lane for node in self.nodes for lane in self._leaves(node)}
        new = [node for node in pieces.nodes if not there.intersection(self._leaves(node))]
        self.nodes = reduce_nodes(Shares(), [*self.nodes, *new], self.terms.lanes)
        present = sum(len(self._leaves(node)) for node in self.nodes)
        if present >= self.terms.lanes - self.terms.backup:
            self._step()

    def _leaves(self, node: Node) -> range:
        return range(node.position << node.level, min((node.position + 1) << node.level, self.terms.lanes))

    def _step(self) -> None:
        total = Share(0.0, None)
        for node in sorted(self.nodes, key=lambda node: self._leaves(node).start):
            total = Shares().combine(total, node.partial)
        self.nodes = []
        self.version += 1
        if total.total is not None and total.weight > 0:
            self._apply(total.total, total.weight)
        early, self.early = self.early, []
        for pieces in early:
            self._gather(pieces)

    def _apply(self, gradient: Array | tuple[RowGradient, ...], weight: float) -> None:
        if isinstance(gradient, tuple):
            self._apply_parts([p if weight == 1 else p._replace(values=p.values / weight) for p in gradient])
        else:
            mean = gradient if weight == 1 else gradient / weight
            self.vector, self.state = self.update.apply(mean, self.state, self.vector)

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

    def _span(self, name: str) -> Span:
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
    return tuple(np.concatenate(arrays) if arrays[0].ndim else arrays[0] for arrays in zip(*states, strict=True))


def part_of(state: State, part: slice) -> State:
    """Return a copy of what belongs to a range of the parameters."""
    return tuple(array[part].copy() if array.ndim else array.copy() for array in state)


def check_state(state: State, update: Update, vector: Array) -> None:
    """Raise a `DataError` where a state is not one that the rule has for these parameters."""
    expected, found = [array.shape for array in update.init(vector)], [array.shape for array in state]
    if found != expected:
        raise DataError(f"state: expected arrays of shapes {expected} for {update!r}, got {found}")
