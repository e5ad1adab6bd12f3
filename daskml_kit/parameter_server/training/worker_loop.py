"""What a trainer is sent to do: some blocks once, or some lanes of an epoch in step with all others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.data.block import Block, check_finite
from daskml_kit.numerics.row_sparse import Rows
from daskml_kit.parameter_server.client import Trainer
from daskml_kit.parameter_server.protocol import Terms
from daskml_kit.parameter_server.rpc import Address, LocalServers
from daskml_kit.parameter_server.training.minibatches import Batch, Order, Room, Visit
from daskml_kit.parameter_server.training.updates import Contribution, Step, TopK
from daskml_kit.typing import Array

Load = Callable[[], Block]
"""Returns a block, which it may have to compute."""


@dataclass(frozen=True)
class Course:
    """What all legs of a training have in common.

    Parameters
    ----------
    step : Step
    order : Order
    push_every : int, optional
        Mini-batches between two pushes; by default as many as it takes to hide the time of a push.
    source : Address or LocalServers
    terms : Terms
    share : float
        What of a way gone by itself an asynchronous trainer pushes.
    top_k : float, optional
        The share of a gradient's elements that is pushed.
    """

    step: Step
    order: Order
    push_every: int | None
    source: Address | LocalServers
    terms: Terms
    share: float = 1.0
    top_k: float | None = None


@dataclass(frozen=True)
class Leg:
    """A trainer's next piece of work.

    Parameters
    ----------
    trainer : str
    number : int
        Grows from leg to leg of a trainer.
    epoch : int
    blocks : tuple of int
        Positions of the blocks that it visits; lane after lane.
    lanes : tuple of (lane, positions)
        In a synchronous run, which blocks each of its lanes has.
    sizes : tuple of int
        The rows of each of ``blocks``.
    n_steps, first : int
        The synchronous steps of the epoch, and how many there were before it.
    """

    trainer: str
    number: int
    epoch: int
    blocks: tuple[int, ...]
    lanes: tuple[tuple[int, tuple[int, ...]], ...] = ()
    sizes: tuple[int, ...] = ()
    n_steps: int = 0
    first: int = 0


class LaneLoss(NamedTuple):
    """The sum of the losses of a lane's rows, and their weight."""

    lane: int
    loss: float = 0.0
    weight: float = 0.0

    def add(self, done: Contribution) -> LaneLoss:
        return LaneLoss(self.lane, self.loss + done.loss * done.weight, self.weight + done.weight)


class Report(NamedTuple):
    """What a trainer did: sums over its rows, by lane in a synchronous run, and where its seconds went."""

    loss: float = 0.0
    weight: float = 0.0
    n_rows: int = 0
    pushes: int = 0
    skipped: int = 0
    computing: float = 0.0
    waiting: float = 0.0
    worker: str = ""
    lanes: tuple[LaneLoss, ...] = ()

    def add(self, done: Contribution, computing: float) -> Report:
        return self._replace(
            loss=self.loss + done.loss * done.weight,
            weight=self.weight + done.weight,
            n_rows=self.n_rows + done.n_rows,
            pushes=self.pushes + 1,
            computing=self.computing + computing,
        )


def run_free(course: Course, leg: Leg, loads: Sequence[Load]) -> Report:
    """Visit blocks, and push as it goes; what the servers have of this leg already is left out."""
    rider, room = Rider(course, leg), Room()
    before = 0
    for load in loads:
        block = load()
        n_batches = course.order.n_batches(block.n_rows)
        start = max(rider.done - before, 0)
        if start < n_batches:
            visit = course.order.visit(block, leg.epoch, room)
            while start < n_batches:
                stop = min(start + rider.every, n_batches)
                rider.go(visit.batches(start, stop), block, before + stop - 1)
                start = stop
        before += n_batches
    return rider.ended()


class Rider:
    """A trainer at its own pace: while a push is on its way, it goes on with the next mini-batches.

    Parameters
    ----------
    course : Course
    leg : Leg
    """

    def __init__(self, course: Course, leg: Leg) -> None:
        self.course = course
        self.trainer = Trainer(course.source, course.terms, leg.trainer, leg=leg.number)
        self.done = self.trainer.resume()
        self.every = course.push_every or 1
        self.report = Report()
        self._top_k = TopK(course.top_k, self.trainer.layout) if course.top_k else None
        self._bounded = np.isfinite(course.terms.staleness)
        if self._bounded:
            self.trainer.enter()
        self._params: dict[str, Array] | None = None
        self._on_its_way = False

    def go(self, batches: list[Batch], block: Block, at: int) -> None:
        """Make a contribution of mini-batches, and push it as number ``at`` of the leg."""
        started = time.perf_counter()
        rows = self.course.step.needs(batches)
        if self._params is None or rows is not None:
            self._params = self.trainer.pull(rows=rows)
        pulled = time.perf_counter()
        contribution = self.course.step.contribute(self._params, batches)
        if not np.isfinite(contribution.loss):
            check_finite(block)
        computed = time.perf_counter()
        self._exchange(contribution, at, some_rows=rows is not None)
        waited = pulled - started + time.perf_counter() - computed
        self.report = self.report.add(contribution, computed - pulled)
        self.report = self.report._replace(waiting=self.report.waiting + waited)
        if self.course.push_every is None:
            hidden = math.ceil(self.every * waited / max(computed - pulled, 1e-9))
            self.every = min(max(hidden, self.every), self.course.step.most_batches)

    def ended(self) -> Report:
        """Wait for the last push, and return what was done."""
        if self._on_its_way:
            self.trainer.finish()
        return self.report._replace(skipped=self.trainer.skipped)

    def _exchange(self, contribution: Contribution, at: int, *, some_rows: bool) -> None:
        arrays = {name: _part(array, self.course.share) for name, array in contribution.arrays.items()}
        fresh = self.trainer.finish() if self._on_its_way else self._params
        self.trainer.start(self._top_k.compress(arrays) if self._top_k else arrays, at=at)
        self._on_its_way = not self._bounded
        if self._bounded:  # what it goes on with has to have all that staleness promises
            self._params = self.trainer.finish()
        elif contribution.ahead is not None and not some_rows and fresh is not None:
            self._params = {name: array + contribution.ahead[name] for name, array in fresh.items()}
        else:
            self._params = fresh


def run_lanes(course: Course, leg: Leg, loads: Sequence[Load]) -> Report:
    """Bring some lanes through the steps of an epoch, in step with the others."""
    trainer = Trainer(course.source, course.terms, leg.trainer, leg=leg.number)
    trainer.await_version(leg.first)
    sizes = dict(zip(leg.blocks, leg.sizes, strict=True))
    loaded = dict(zip(leg.blocks, loads, strict=True))
    room = Room()
    readers = {
        lane: Lane(course.order, course.push_every or 1, leg.epoch, [(sizes[p], loaded[p]) for p in positions], room)
        for lane, positions in leg.lanes
    }
    report = Report()
    losses = {lane: LaneLoss(lane) for lane in readers}
    by_rows = course.step.by_rows
    params = trainer.pull(() if by_rows else None)
    while (number := trainer.version - leg.first) < leg.n_steps:
        started = time.perf_counter()
        shares: list[tuple[int, float, Mapping[str, Any] | None]] = []
        for lane, reader in readers.items():
            batches, block = reader.part(number)
            if block is None:
                shares.append((lane, float(by_rows), None))
                continue
            rows = course.step.needs(batches)
            own = params if rows is None else trainer.pull(rows=rows)
            contribution = course.step.contribute(own, batches)
            if not np.isfinite(contribution.loss):
                check_finite(block)
            shares.append(_share(lane, contribution, course.terms.lanes if by_rows else None))
            report = report.add(contribution, 0.0)
            losses[lane] = losses[lane].add(contribution)
        computed = time.perf_counter()
        params = trainer.push_lanes(shares, read=not by_rows)
        report = report._replace(
            computing=report.computing + computed - started, waiting=report.waiting + time.perf_counter() - computed
        )
    return report._replace(skipped=trainer.skipped, lanes=tuple(losses.values()))


class Lane:
    """The mini-batches of a lane, by steps; a step never has rows of two blocks.

    Lanes that take turns may have one ``room``: mini-batches are valid until the next are asked for.
    """

    def __init__(self, order: Order, every: int, epoch: int, blocks: Sequence[tuple[int, Load]], room: Room) -> None:
        self.order, self.every, self.epoch, self._room = order, every, epoch, room
        self.blocks = blocks
        counts = [n_steps(order, every, n_rows) for n_rows, _ in blocks]
        self.ends = np.cumsum(counts, dtype=int)
        self._held: tuple[int, Visit | None] = (-1, None)

    def part(self, step: int) -> tuple[list[Batch], Block | None]:
        """Return the mini-batches of a step, and their block; none after the last."""
        position = int(np.searchsorted(self.ends, step, side="right"))
        if position >= len(self.blocks):
            return [], None
        visit = self._visit(position)
        start = (step - (int(self.ends[position - 1]) if position else 0)) * self.every
        stop = min(start + self.every, self.order.n_batches(visit.block.n_rows))
        return visit.batches(start, stop), visit.block

    def _visit(self, position: int) -> Visit:
        """Return the visit of a block; of the others, none is held."""
        held, visit = self._held
        if visit is None or held != position:
            self._held = held, None  # let go of one before the next is loaded
            visit = self.order.visit(self.blocks[position][1](), self.epoch, self._room)
            self._held = position, visit
        return visit


def _share(lane: int, done: Contribution, adding: int | None) -> tuple[int, float, Mapping[str, Any]]:
    """Return a lane's share of a mean by weight, or, of so many lanes whose gradients are ``adding`` up, of a sum."""
    if adding is None:
        return lane, done.weight, done.arrays
    return lane, 1.0, {name: _part(array, adding) for name, array in done.arrays.items()}


def n_steps(order: Order, every: int, n_rows: int) -> int:
    """Return how many steps a block takes."""
    return -(-order.n_batches(n_rows) // every)


def _part(array: Any, share: float) -> Any:
    if share == 1:
        return array
    return Rows(array.rows, array.values * share) if isinstance(array, Rows) else np.asarray(array) * share
