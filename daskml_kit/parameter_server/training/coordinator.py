"""One training, from open blocks to parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from daskml_kit.data.shards import balance, runs
from daskml_kit.engines.cluster import FuturesEngine
from daskml_kit.engines.engine import Engine, LocalEngine
from daskml_kit.exceptions import DataError
from daskml_kit.numerics.permutation import key_of
from daskml_kit.optim import State, Update
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.training.config import Setting
from daskml_kit.parameter_server.training.evaluation import HeldOutLoss, Sizes
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.minibatches import Order
from daskml_kit.parameter_server.training.trainer_pool import ClusterCrew, Crew, LocalCrew
from daskml_kit.parameter_server.training.updates import Step
from daskml_kit.parameter_server.training.worker_loop import Course, Leg, n_steps
from daskml_kit.typing import Array

BLOCKS_DRAWN = 2
"""What an order of blocks is drawn for, beside those of rows."""


class Visit(NamedTuple):
    """Blocks to visit in an epoch."""

    epoch: int
    blocks: tuple[int, ...]


class Agenda:
    """The visits of all epochs, handed out piece by piece, larger pieces first (guided self-scheduling).

    Parameters
    ----------
    n_blocks, epochs, seed : int
    first_epoch : int

    Examples
    --------
    >>> agenda = Agenda(4, epochs=1, seed=0)
    >>> sorted(agenda.take({2, 3}, n_trainers=1).blocks)
    [2, 3]
    >>> agenda.take({2}, n_trainers=1).epoch
    0
    """

    def __init__(self, n_blocks: int, epochs: int, seed: int, first_epoch: int = 0) -> None:
        self.n_blocks, self.seed, self.epochs = n_blocks, seed, epochs
        self._epoch = first_epoch
        self._left = self._drawn()

    def take(self, near: Collection[int], n_trainers: int) -> Visit | None:
        """Return the next blocks for one of so many trainers, which has those ``near``; None where all are taken."""
        while not self._left:
            self._epoch += 1
            if self._epoch >= self.epochs:
                return None
            self._left = self._drawn()
        wanted = -(-len(self._left) // (2 * n_trainers))
        own = [block for block in self._left if block in near] or self._left
        taken = tuple(own[:wanted])
        self._left = [block for block in self._left if block not in taken]
        return Visit(self._epoch, taken)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._left, self._epoch = [], self.epochs

    def _drawn(self) -> list[int]:
        if self._epoch >= self.epochs:
            return []
        rng = np.random.default_rng(key_of(self.seed, BLOCKS_DRAWN, self._epoch))
        return [int(block) for block in rng.permutation(self.n_blocks)]


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


class Trained(NamedTuple):
    """The parameters at the end, the course of the training, and the state of the rule."""

    params: dict[str, Array]
    history: History
    state: State = ()


class Start(NamedTuple):
    """Where a training goes on from: the epoch that is its first, the state of the rule, and the history so far."""

    epoch: int = 0
    state: State = ()
    history: History | None = None


NEW = Start()
GoOn = Callable[[History, dict[str, Array]], bool]
"""Is called with history and parameters after each epoch; returns whether training goes on."""


def train_on(
    engine: Engine,
    step: Step,
    params: Mapping[str, Array],
    rule: Update,
    setting: Setting,
    go_on: GoOn | None = None,
    start: Start = NEW,
    sizes: Sequence[int] | None = None,
) -> Trained:
    """Train on the blocks of an engine, from an epoch up to ``setting.epochs``; see `train`.

    The blocks' ``sizes`` are asked for unless they are given.
    """
    sizes = engine.answer(Sizes())[0] if sizes is None else sizes
    if not sum(sizes):
        raise DataError("X: expected at least one row, got none")
    sync = setting.mode == "sync"
    lanes = min(setting.lanes, len(sizes)) if sync else 1
    batch_size = max(setting.batch_size // lanes, 1)
    order = Order(setting.random_state, batch_size, setting.validation_fraction, setting.shuffle)
    on_cluster = isinstance(engine, FuturesEngine)
    with ParameterServer(
        params,
        rule,
        setting.bound,
        setting.servers if on_cluster else "auto",
        setting.replicas,
        lanes=lanes,
        backup=setting.backup,
        on_nan=setting.on_nan,
        state=start.state,
        client=engine.client if isinstance(engine, FuturesEngine) else "local",
    ) as server:
        course = Course(step, order, setting.push_every, server.address, server.terms, top_k=setting.top_k)
        crew, course = _crew(engine, course, sync)
        history = start.history or History()
        return Run(engine, crew, course, server, setting, sizes, go_on, start.epoch, history).run()


def _crew(engine: Engine, course: Course, sync: bool) -> tuple[Crew, Course]:
    """Return the trainers, and the course with the share that each has in where all go."""
    n_trainers = engine.profile.n_threads
    if not sync and course.step.local:
        course = replace(course, share=1 / n_trainers)
    if isinstance(engine, FuturesEngine):
        return ClusterCrew(engine, course), course
    if isinstance(engine, LocalEngine):
        return LocalCrew(engine, course, n_trainers), course
    raise TypeError(f"{type(engine).__name__} has no blocks to train on")


@dataclass
class Run:
    """A training that has all it needs."""

    engine: Engine
    crew: Crew
    course: Course
    server: ParameterServer
    setting: Setting
    sizes: Sequence[int]
    go_on: GoOn | None
    first_epoch: int = 0
    history: History = field(default_factory=History)
    _best: float = np.inf
    _bad_epochs: int = 0

    def run(self) -> Trained:
        """Carry it out."""
        setting = self.setting
        n_rows = sum(n - self.course.order.n_held_out(n) for n in self.sizes)
        total = n_rows * (setting.epochs - self.first_epoch)
        with tqdm(total=total, unit="row", unit_scale=True, disable=setting.verbose < 1) as self._bar:
            try:
                if setting.mode == "sync":
                    in_step = InStep(self.crew, self.course, self.sizes, self.history, self._ended)
                    in_step.run(setting.epochs, self.first_epoch)
                else:
                    agenda = Agenda(len(self.sizes), setting.epochs, setting.random_state, self.first_epoch)
                    free = Free(self.crew, self.course, agenda, self.history, self._ended, self.server.leave)
                    free.run(self.first_epoch)
            except BaseException:
                self.server.close()  # trainers that wait for others end
                raise
            finally:
                self.crew.stop()
        params = self.server.pull()
        self.history.lags += self.server.lags
        self.history.late += self.server.late
        self.history.losses += self.server.losses
        return Trained(params, self.history, self.server.state)

    def _ended(self, epoch: int) -> bool:
        """Judge an epoch that has ended, and return whether training goes on."""
        judged = self.setting.validation_fraction > 0 or self.go_on is not None
        params = self.server.pull() if judged else {}
        record = self.history.end(epoch, self._held_out(params))
        if self.setting.snapshot is not None:
            self.server.snapshot(self.setting.snapshot)
        self._bar.update(record.n_rows)
        self._bar.set_postfix(epoch=epoch + 1, loss=f"{record.loss:.4g}", held_out=f"{record.validation_loss:.4g}")
        if not np.isfinite(record.loss):
            raise DataError(f"the loss is {record.loss} in epoch {epoch}: smaller steps, or scaled features, may help")
        goes_on = self.go_on is None or self.go_on(self.history, params)
        return goes_on and self._improves(record.validation_loss if judged and self._holds_out else record.loss)

    @property
    def _holds_out(self) -> bool:
        return self.setting.validation_fraction > 0

    def _held_out(self, params: dict[str, Array]) -> float:
        if not self._holds_out:
            return float("nan")
        (total,) = self.engine.answer(HeldOutLoss(self.course.step, self.course.order, params))
        return total.loss / total.weight if total.weight else float("nan")

    def _improves(self, loss: float) -> bool:
        """Return whether the loss has become better by ``tol`` within ``patience`` epochs."""
        if self.setting.patience is None:
            return True
        self._bad_epochs = 0 if loss < self._best - self.setting.tol else self._bad_epochs + 1
        self._best = min(self._best, loss)
        return self._bad_epochs < self.setting.patience

    _bar: Any = None
