"""How legs follow each other: freely, or epoch by epoch in step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from daskml_kit.engines.shards import balance, runs
from daskml_kit.parameter_server.training.agenda import Agenda
from daskml_kit.parameter_server.training.crews import Crew
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.legs import Course, Leg, n_steps

LOOK = 0.25
"""Seconds between two looks at whether workers have joined."""

Ended = Callable[[int], bool]
"""Is called with an epoch that has ended; returns whether training goes on."""


@dataclass
class Free:
    """Trainers that go through the blocks at their own pace, one a worker thread; workers that join get one each.

    Parameters
    ----------
    crew : Crew
    course : Course
    agenda : Agenda
    history : History
    ended : callable
    leave : callable
        Is called with the name of a trainer that has no more to do.
    """

    crew: Crew
    course: Course
    agenda: Agenda
    history: History
    ended: Ended
    leave: Callable[[str], None]
    _workers: dict[str, str] = field(default_factory=dict)
    """The worker of each trainer that is at work."""
    _left: dict[int, int] = field(default_factory=dict)
    """The blocks of each epoch that no report has come of."""
    _count: int = 0
    _legs: int = 0
    _epoch: int = 0

    def run(self, first_epoch: int = 0) -> None:
        """Carry out the whole agenda."""
        self._epoch = first_epoch
        self._holders = self.crew.holders()
        self._follow()
        while self._workers:
            done = self.crew.finished(LOOK)
            self._follow()
            if done is None:
                continue
            leg, report = done
            self.history.add(leg, report)
            self._workers[leg.trainer] = report.worker
            self._close(leg)
            self._go_on(leg.trainer, surplus=self._surplus(report.worker))

    def _follow(self) -> None:
        """Let each thread of a worker have a trainer."""
        threads = self.crew.threads()
        for worker, n_threads in threads.items():
            for _ in range(n_threads - list(self._workers.values()).count(worker)):
                name = f"trainer-{self._count}"
                self._count += 1
                self._workers[name] = worker
                self._go_on(name, surplus=False)

    def _surplus(self, worker: str) -> bool:
        """Whether a worker has more trainers than threads, as where one of a lost worker has come to it."""
        return list(self._workers.values()).count(worker) > self.crew.threads().get(worker, 1)

    def _go_on(self, name: str, *, surplus: bool) -> None:
        worker = self._workers[name]
        near = {position for position, holder in enumerate(self._holders) if holder == worker}
        visit = None if surplus else self.agenda.take(near, len(self._workers))
        if visit is None:
            del self._workers[name]
            if np.isfinite(self.course.terms.staleness):
                self.leave(name)
            return
        self._left.setdefault(visit.epoch, self.agenda.n_blocks)
        leg = Leg(name, self._legs, visit.epoch, visit.blocks)
        self._legs += 1
        self.crew.start(leg, worker)

    def _close(self, leg: Leg) -> None:
        """Count the blocks of a leg, and end the epochs that have none left."""
        self._left[leg.epoch] -= len(leg.blocks)
        while self._left.get(self._epoch) == 0:
            if not self.ended(self._epoch):
                self.agenda.stop()
            self._epoch += 1


@dataclass
class InStep:
    """Lanes of blocks that take each step together; which trainer has which lane changes nothing.

    Parameters
    ----------
    crew : Crew
    course : Course
    sizes : sequence of int
        The rows of each block.
    history : History
    ended : callable
    """

    crew: Crew
    course: Course
    sizes: Sequence[int]
    history: History
    ended: Ended

    def run(self, epochs: int, first_epoch: int = 0) -> None:
        """Go through the epochs."""
        lanes = runs(range(len(self.sizes)), self.course.terms.lanes)
        order, every = self.course.order, self.course.push_every or 1
        lengths = [sum(n_steps(order, every, self.sizes[p]) for p in lane) for lane in lanes]
        done = 0  # the servers are new, also where the epochs go on from others
        for epoch in range(first_epoch, epochs):
            running = self._start(epoch, lanes, lengths, done)
            while running:
                ended = self.crew.finished(LOOK)
                if ended is not None:
                    self.history.add(*ended)
                    running -= 1
            done += max(lengths)
            if not self.ended(epoch):
                return

    def _start(self, epoch: int, lanes: Sequence[Sequence[int]], lengths: Sequence[int], done: int) -> int:
        """Start a leg on each thread, with lanes whose blocks lie there, as far as these are as long as others'."""
        threads, holders = self.crew.threads(), self.crew.holders()
        homes = [max(sorted({holders[p] for p in lane}), key=[holders[p] for p in lane].count) for lane in lanes]
        placed = balance(homes, lengths, threads)
        held: dict[str, list[int]] = defaultdict(list)
        for lane, worker in enumerate(placed):
            held[worker].append(lane)
        legs = [(worker, own) for worker in held for own in runs(held[worker], threads.get(worker, 1))]
        for number, (worker, own) in enumerate(legs):
            blocks = tuple(position for lane in own for position in lanes[lane])
            leg = Leg(
                f"trainer-{number}",
                epoch,
                epoch,
                blocks,
                lanes=tuple((lane, tuple(lanes[lane])) for lane in own),
                sizes=tuple(self.sizes[position] for position in blocks),
                n_steps=max(lengths),
                first=done,
            )
            self.crew.start(leg, worker)
        return len(legs)
