"""Training coordinator: assigns blocks to workers, epoch by epoch, from open data to trained parameters."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from daskml_kit.activity import note_epoch, note_training, recorded
from daskml_kit.data.shards import balance, runs
from daskml_kit.engines.checkpoint import unlogged
from daskml_kit.engines.cluster import FuturesEngine
from daskml_kit.engines.engine import Engine
from daskml_kit.exceptions import DataError, LostServerError
from daskml_kit.numerics.permutation import key_of
from daskml_kit.optim import State, Update
from daskml_kit.parameter_server.protocol import LossSums
from daskml_kit.parameter_server.server import ParameterServer
from daskml_kit.parameter_server.state_machine import StateMachine, merged
from daskml_kit.parameter_server.training.config import VIRTUAL_WORKERS, Asynchronous, Synchronous, TrainingConfig
from daskml_kit.parameter_server.training.history import History
from daskml_kit.parameter_server.training.minibatches import MinibatchOrder
from daskml_kit.parameter_server.training.reached import Reached, TrainingCheckpoint, TrainingProgress
from daskml_kit.parameter_server.training.updates import BlockSizes, ValidationLoss, WorkerStep
from daskml_kit.parameter_server.training.worker_loop import Assignment, TrainingPool, WorkerConfig, WorkerReport
from daskml_kit.progress_bar import advance, progress_bar
from daskml_kit.representation import as_html, as_line
from daskml_kit.typing import Array
from daskml_kit.workers.connection import wait_for_workers

BLOCK_ORDER = 2
"""Purpose of an order of blocks in the key that it is drawn with, beside those of rows."""
POLL_SECONDS = 0.25
"""Seconds between two looks at whether Dask workers have joined."""
MOST_LOSSES = 3
"""Losses of all parameters without an epoch between them, after which a training is given up."""


class BlockScheduler:
    """Guided self-scheduling of the blocks of all epochs: assignments get smaller towards the end of an epoch.

    Parameters
    ----------
    n_blocks, epochs, seed : int
    first_epoch : int

    Examples
    --------
    >>> scheduler = BlockScheduler(4, epochs=1, seed=0)
    >>> epoch, blocks = scheduler.take({2, 3}, n_workers=1)
    >>> epoch, sorted(blocks)
    (0, [2, 3])
    """

    def __init__(self, n_blocks: int, epochs: int, seed: int, first_epoch: int = 0) -> None:
        self.n_blocks, self.seed, self.epochs = n_blocks, seed, epochs
        self._epoch = first_epoch
        self._left = self._drawn()

    def take(self, near: Collection[int], n_workers: int) -> tuple[int, tuple[int, ...]] | None:
        """Return epoch and next blocks for one of so many workers, best those ``near`` it; None where all are taken."""
        while not self._left:
            self._epoch += 1
            if self._epoch >= self.epochs:
                return None
            self._left = self._drawn()
        wanted = -(-len(self._left) // (2 * n_workers))
        own = [block for block in self._left if block in near] or self._left
        taken = tuple(own[:wanted])
        self._left = [block for block in self._left if block not in taken]
        return self._epoch, taken

    def stop(self) -> None:
        """Hand out nothing more."""
        self._left, self._epoch = [], self.epochs

    def _drawn(self) -> list[int]:
        if self._epoch >= self.epochs:
            return []
        rng = np.random.default_rng(key_of(self.seed, BLOCK_ORDER, self._epoch))
        return [int(block) for block in rng.permutation(self.n_blocks)]


class TrainingResult(NamedTuple):
    """Result of a training.

    Parameters
    ----------
    params : dict of str to array
        The parameters at the end.
    history : History
        Losses, pace and staleness.
    state : tuple of arrays
        The state of the update rule, which `ParameterServer` takes.
    """

    params: dict[str, Array]
    history: History
    state: State = ()

    def __repr__(self) -> str:
        return as_line("TrainingResult", self._facts())

    def _repr_html_(self) -> str:
        return as_html("Result of a training", self._facts()) + self.history._repr_html_()

    def _facts(self) -> dict[str, Any]:
        shapes = ", ".join(f"{name} {np.shape(array)}" for name, array in self.params.items())
        return {"params": shapes, "history": self.history}


@dataclass
class TrainingRun(ABC):
    """Run of a training on a server and a pool."""

    engine: Engine
    pool: TrainingPool
    worker_config: WorkerConfig
    server: ParameterServer
    config: TrainingConfig
    sizes: Sequence[int]
    progress: TrainingProgress | None
    reached: Reached
    checkpoint: TrainingCheckpoint | None = None
    _bar: Any = None

    @property
    def history(self) -> History:
        return self.reached.history

    def run(self) -> TrainingResult:
        """Train, and return the result."""
        config, order, first_epoch = self.config, self.worker_config.order, self.reached.epoch
        total = sum(n - order.n_validation(n) for n in self.sizes) * (config.epochs - first_epoch)
        bar = progress_bar("training", "row", total, scaled=True, hidden=config.verbose < 1)
        with recorded("training"), bar as self._bar:
            note_training(config.epochs, self.history.idle)
            try:
                self._visit_epochs(first_epoch)
            except BaseException:
                self.server.close()  # workers that wait for others end
                raise
            finally:
                self.pool.tasks.close()
        params = self.server.pull()
        self.history.staleness_counts += self.server.staleness_counts
        self.history.late += self.server.late
        self.history.failovers += self.server.failovers
        return TrainingResult(params, self.history, self.server.state)

    @abstractmethod
    def _visit_epochs(self, first_epoch: int) -> None:
        """Let workers visit the blocks of all epochs, and call `_end_epoch` after each."""

    def _next_report(self) -> tuple[Assignment, WorkerReport] | None:
        """Record an assignment that has ended, and return it with its report; None if none ends for a while."""
        done = self.pool.tasks.next(POLL_SECONDS)
        if done is None:
            return None
        self.history.add(done.tag, done.value)
        note_training(self.config.epochs, self.history.idle)
        return done.tag, done.value

    def _end_epoch(self, epoch: int, sums: LossSums | None = None) -> bool:
        """Record an epoch that has ended, with its sums if not by the reports; return whether training goes on."""
        config, reached = self.config, self.reached
        validates = config.validation_fraction > 0
        machines: list[StateMachine] = []
        if self.checkpoint is not None or isinstance(self.engine, FuturesEngine):  # else no server can be lost
            machines = self.server.machines()
            params, state = merged(self.server.layout, machines)
        else:
            params, state = self.server.pull() if validates or self.progress is not None else {}, ()
        validation = ValidationLoss(self.worker_config.step, self.worker_config.order, params)
        loss = self.engine.answer(validation)[0] if validates else np.nan
        record = self.history.end(epoch, loss, sums)  # from here on all is local: the epoch counts whole, or not at all
        staleness = machines[-1].counts().staleness_counts if machines else self.server.staleness_counts
        missed = self.history.staleness_counts + staleness
        note_epoch(epoch + 1, record.loss, record.validation_loss, record.n_rows, record.pushes, missed)
        done = self._bar.n + record.n_rows
        advance(self._bar, done, epoch=epoch + 1, loss=record.loss, validation=record.validation_loss)
        if not np.isfinite(record.loss):
            raise DataError(f"the loss is {record.loss} in epoch {epoch}: smaller steps, or scaled features, may help")
        goes_on = self.progress is None or self.progress.goes_on(self.history, params)
        goes_on = goes_on and self._improves(record.validation_loss if validates else record.loss)
        reached.epoch, reached.params, reached.state, reached.is_done = epoch + 1, params, state, not goes_on
        if self.checkpoint is not None:
            self.checkpoint.write(self.server, machines, reached)
        return goes_on

    def _improves(self, loss: float) -> bool:
        """Return whether the loss has become better by ``tol`` within ``patience`` epochs."""
        if self.config.patience is None:
            return True
        reached = self.reached
        reached.bad_epochs = 0 if loss < reached.best - self.config.tol else reached.bad_epochs + 1
        reached.best = min(reached.best, loss)
        return reached.bad_epochs < self.config.patience


@dataclass
class AsynchronousRun(TrainingRun):
    """Asynchronous training: one worker a thread of the pool; Dask workers that join get theirs."""

    _addresses: dict[str, str] = field(default_factory=dict)
    """Address of the Dask worker of each worker that is at work."""
    _left: dict[int, int] = field(default_factory=dict)
    """Number of blocks of each epoch that no report has come of."""
    _n_workers: int = 0
    _n_assignments: int = 0
    _epoch: int = 0

    def _visit_epochs(self, first_epoch: int) -> None:
        config = self.config
        self._scheduler = BlockScheduler(len(self.sizes), config.epochs, config.random_state, first_epoch)
        self._epoch = first_epoch
        self._holders = self.pool.holders()
        self._fill_threads()
        while self._addresses:
            done = self._next_report()
            self._fill_threads()
            if done is None:
                continue
            assignment, report = done
            self._addresses[assignment.worker] = report.address
            self._close(assignment)
            self._assign(assignment.worker, surplus=self._surplus(report.address))

    def _fill_threads(self) -> None:
        """Let each thread of a Dask worker have a worker."""
        for address, n_threads in self.pool.tasks.threads().items():
            for _ in range(n_threads - list(self._addresses.values()).count(address)):
                name = f"worker-{self._n_workers}"
                self._n_workers += 1
                self._addresses[name] = address
                self._assign(name, surplus=False)

    def _surplus(self, address: str) -> bool:
        """Return whether a Dask worker has more workers than threads, as where one has come to it from a lost one."""
        return list(self._addresses.values()).count(address) > self.pool.tasks.threads().get(address, 1)

    def _assign(self, name: str, *, surplus: bool) -> None:
        address = self._addresses[name]
        near = {position for position, holder in enumerate(self._holders) if holder == address}
        taken = None if surplus else self._scheduler.take(near, len(self._addresses))
        if taken is None:
            del self._addresses[name]
            if np.isfinite(self.server.consistency.staleness):
                self.server.leave(name)
            return
        epoch, blocks = taken
        self._left.setdefault(epoch, self._scheduler.n_blocks)
        self.pool.start(Assignment(name, self._n_assignments, epoch, blocks), address)
        self._n_assignments += 1

    def _close(self, assignment: Assignment) -> None:
        """Count the blocks of an assignment, and end the epochs that have none left."""
        self._left[assignment.epoch] -= len(assignment.blocks)
        while self._left.get(self._epoch) == 0:
            if not self._end_epoch(self._epoch):
                self._scheduler.stop()
            self._epoch += 1


@dataclass
class SynchronousRun(TrainingRun):
    """Synchronous training: virtual workers take each step together; real workers only carry them out."""

    def _visit_epochs(self, first_epoch: int) -> None:
        blocks = runs(range(len(self.sizes)), self.server.consistency.virtual_workers)
        n_steps = [sum(self.worker_config.n_steps(self.sizes[position]) for position in own) for own in blocks]
        done = 0  # the servers are new, also where the epochs go on from others
        for epoch in range(first_epoch, self.config.epochs):
            running = self._start(epoch, blocks, n_steps, done)
            while running:
                if self._next_report() is not None:
                    running -= 1
            done += max(n_steps)
            if not self._end_epoch(epoch, self.server.epoch_sums):  # reports lack what was pushed by lost workers
                return

    def _start(self, epoch: int, blocks: Sequence[Sequence[int]], n_steps: Sequence[int], done: int) -> int:
        """Start an assignment a thread, of virtual workers with blocks that lie there and about as many steps."""
        threads, holders = self.pool.tasks.threads(), self.pool.holders()
        homes = [max(sorted({holders[p] for p in own}), key=[holders[p] for p in own].count) for own in blocks]
        held: dict[str, list[int]] = defaultdict(list)
        for number, address in enumerate(balance(homes, n_steps, threads)):
            held[address].append(number)
        parts = [(address, own) for address in held for own in runs(held[address], threads.get(address, 1))]
        for number, (address, own) in enumerate(parts):
            positions = tuple(position for virtual_worker in own for position in blocks[virtual_worker])
            assignment = Assignment(
                f"worker-{number}",
                epoch,
                epoch,
                positions,
                virtual_workers=tuple((virtual_worker, tuple(blocks[virtual_worker])) for virtual_worker in own),
                sizes=tuple(self.sizes[position] for position in positions),
                n_steps=max(n_steps),
                first=done,
            )
            self.pool.start(assignment, address)
        return len(parts)


def train_on(
    engine: Engine,
    step: WorkerStep,
    rule: Update,
    config: TrainingConfig,
    reached: Reached,
    progress: TrainingProgress | None = None,
    sizes: Sequence[int] | None = None,
) -> TrainingResult:
    """Train on the blocks of an engine, from what is reached up to ``config.epochs``; see `train`.

    Where the engine was opened with a checkpoint, each epoch is written down there; `resumed` reads it.

    Where the parameters are lost with all workers that held them, training goes on from the end of its last epoch, with
    a warning. The blocks' ``sizes`` are asked for unless they are given.
    """
    sizes = engine.answer(BlockSizes())[0] if sizes is None else sizes
    if not sum(sizes):
        raise DataError("X: expected at least one row, got none")
    checkpoint, engine = TrainingCheckpoint.of(engine, config, progress), unlogged(engine)
    last, losses = reached.epoch, 0
    while True:
        if reached.is_done or reached.epoch >= config.epochs:
            return TrainingResult(reached.params, reached.history, reached.state)
        try:
            return _train(engine, step, rule, config, progress, reached, sizes, checkpoint)
        except LostServerError as error:
            losses = losses + 1 if reached.epoch == last else 1
            if losses > MOST_LOSSES or not isinstance(engine, FuturesEngine):
                raise
            if reached.is_done or reached.epoch == config.epochs:
                continue
            warnings.warn(
                f"{error}; training goes on from the end of epoch {reached.epoch} of {config.epochs}",
                RuntimeWarning,
                stacklevel=2,
            )
            last = reached.epoch
            reached.history.forget_begun()
            wait_for_workers(engine.client)


def _train(
    engine: Engine,
    step: WorkerStep,
    rule: Update,
    config: TrainingConfig,
    progress: TrainingProgress | None,
    reached: Reached,
    sizes: Sequence[int],
    checkpoint: TrainingCheckpoint | None,
) -> TrainingResult:
    """Train on new servers from what is reached."""
    training = config.training
    n_virtual = min(training.virtual_workers or VIRTUAL_WORKERS, len(sizes))
    with ParameterServer(
        reached.params,
        rule,
        training.staleness,
        training.servers if isinstance(engine, FuturesEngine) else "auto",
        training.replicas,
        virtual_workers=n_virtual,
        backup_workers=training.backup_workers,
        on_nan=config.on_nan,
        state=reached.state,
        client=engine.client if isinstance(engine, FuturesEngine) else "local",
    ) as server:
        n_workers = engine.profile.n_threads
        worker_config = WorkerConfig(
            step,
            MinibatchOrder(
                config.random_state, max(config.batch_size // n_virtual, 1), config.validation_fraction, config.shuffle
            ),
            training.push_every,
            server.address,
            server.consistency,
            share=1 / (n_workers if isinstance(training, Asynchronous) else n_virtual) if step.local else 1.0,
            top_k=training.top_k,
        )
        run = SynchronousRun if isinstance(training, Synchronous) else AsynchronousRun
        pool = TrainingPool(engine, worker_config)
        return run(engine, pool, worker_config, server, config, sizes, progress, reached, checkpoint).run()
