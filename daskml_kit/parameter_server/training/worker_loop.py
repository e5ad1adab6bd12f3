"""Training workers: tasks beside their blocks, each a loop at its own pace or in step with all virtual workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from distributed import get_worker

from daskml_kit.data.block import Block, check_finite
from daskml_kit.engines.cluster import FuturesEngine
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.runtime import computing
from daskml_kit.engines.shard_task import loads_of
from daskml_kit.parameter_server.client import WorkerClient
from daskml_kit.parameter_server.protocol import Consistency, LossSums, StepPart
from daskml_kit.parameter_server.rpc import Address, LocalServers
from daskml_kit.parameter_server.training.minibatches import Minibatch, MinibatchOrder, RowBuffer, ShuffledBlock
from daskml_kit.parameter_server.training.updates import Contribution, TopK, WorkerStep, scaled
from daskml_kit.typing import Array
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.worker_pool import HERE, LocalPool, WorkerPool

Load = Callable[[], Block]
"""Returns a block, which it may have to compute."""


@dataclass(frozen=True)
class WorkerConfig:
    """Configuration that all assignments of a training have in common.

    Parameters
    ----------
    step : WorkerStep
    order : MinibatchOrder
    push_every : int, optional
        Minibatches between two pushes; by default as many as it takes to hide the time of a push.
    source : Address or LocalServers
    consistency : Consistency
    share : float
        What is pushed of local steps, where it is applied as it comes, so that all workers together average.
    top_k : float, optional
        The share of a gradient's elements that is pushed.
    """

    step: WorkerStep
    order: MinibatchOrder
    push_every: int | None
    source: Address | LocalServers
    consistency: Consistency
    share: float = 1.0
    top_k: float | None = None

    def n_steps(self, n_rows: int) -> int:
        """Return the number of synchronous steps that a block takes."""
        return -(-self.order.n_batches(n_rows) // (self.push_every or 1))


@dataclass(frozen=True)
class Assignment:
    """Assignment of blocks to a worker, for one task.

    Parameters
    ----------
    worker : str
    number : int
        Grows from assignment to assignment of a worker.
    epoch : int
    blocks : tuple of int
        Positions of the blocks that it visits; virtual worker after virtual worker.
    virtual_workers : tuple of (virtual_worker, positions)
        In a synchronous run, the blocks of each of its virtual workers.
    sizes : tuple of int
        The rows of each of ``blocks``.
    n_steps, first : int
        The synchronous steps of the epoch, and how many there were before it.
    """

    worker: str
    number: int
    epoch: int
    blocks: tuple[int, ...]
    virtual_workers: tuple[tuple[int, tuple[int, ...]], ...] = ()
    sizes: tuple[int, ...] = ()
    n_steps: int = 0
    first: int = 0


class WorkerReport(NamedTuple):
    """Report on an assignment: sums over the rows of this run of it, and seconds spent.

    ``address`` is that of the Dask worker that carried it out.
    """

    loss: float = 0.0
    weight: float = 0.0
    n_rows: int = 0
    pushes: int = 0
    skipped: int = 0
    computing: float = 0.0
    waiting: float = 0.0
    address: str = ""

    def add(self, done: Contribution, computing: float = 0.0, waiting: float = 0.0) -> WorkerReport:
        """Return the report with one more contribution."""
        return self._replace(
            loss=self.loss + done.loss * done.weight,
            weight=self.weight + done.weight,
            n_rows=self.n_rows + done.n_rows,
            pushes=self.pushes + 1,
            computing=self.computing + computing,
            waiting=self.waiting + waiting,
        )


def run_asynchronous(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load]) -> WorkerReport:
    """Visit blocks, pushing at the worker's own pace; pushes that the servers have already are left out."""
    worker, buffer = AsyncWorker(config, assignment), RowBuffer()
    before = 0
    for load_block in loads:
        block = load_block()
        n_batches = config.order.n_batches(block.n_rows)
        start = max(worker.done - before, 0)
        if start < n_batches:
            shuffled = config.order.shuffled(block, assignment.epoch, buffer)
            while start < n_batches:
                stop = min(start + worker.push_every, n_batches)
                worker.step(shuffled.batches(start, stop), block, before + stop - 1)
                start = stop
        before += n_batches
    return worker.finish()


class AsyncWorker:
    """Worker at its own pace: while a push is in flight, it computes on the next minibatches.

    Parameters
    ----------
    config : WorkerConfig
    assignment : Assignment
    """

    def __init__(self, config: WorkerConfig, assignment: Assignment) -> None:
        self.config = config
        self.client = WorkerClient(config.source, config.consistency, assignment.worker, assignment=assignment.number)
        self.done = self.client.resume()
        self.push_every = config.push_every or 1
        self.report = WorkerReport()
        self._top_k = TopK(config.top_k) if config.top_k else None
        self._bounded = np.isfinite(config.consistency.staleness)
        if self._bounded:
            self.client.enter()
        self._params: dict[str, Array] | None = None
        self._in_flight = False

    def step(self, batches: list[Minibatch], block: Block, at: int) -> None:
        """Compute the contribution of minibatches, and push it as number ``at`` of the assignment."""
        started = time.perf_counter()
        rows = self.config.step.required_rows(batches)
        if self._params is None or rows is not None:
            self._params = self.client.pull(rows=rows)
        pulled = time.perf_counter()
        contribution = _compute(self.config.step, self._params, batches, block)
        computed = time.perf_counter()
        self._push(contribution, at, some_rows=rows is not None)
        waited = pulled - started + time.perf_counter() - computed
        self.report = self.report.add(contribution, computed - pulled, waited)
        if self.config.push_every is None:
            hidden = math.ceil(self.push_every * waited / max(computed - pulled, 1e-9))
            self.push_every = min(max(hidden, self.push_every), self.config.step.most_batches)

    def finish(self) -> WorkerReport:
        """Wait for the last push, and return the report."""
        if self._in_flight:
            self.client.finish()
        return self.report._replace(skipped=self.client.skipped)

    def _push(self, contribution: Contribution, at: int, *, some_rows: bool) -> None:
        arrays = {name: scaled(array, self.config.share) for name, array in contribution.arrays.items()}
        fresh = self.client.finish() if self._in_flight else self._params
        self.client.start(self._top_k.compress(arrays) if self._top_k else arrays, at=at)
        self._in_flight = not self._bounded
        if self._bounded:  # the next parameters must have all the updates that the staleness bound promises
            self._params = self.client.finish()
        elif contribution.ahead is not None and not some_rows and fresh is not None:
            self._params = {name: array + contribution.ahead[name] for name, array in fresh.items()}
        else:
            self._params = fresh


def run_synchronous(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load]) -> WorkerReport:
    """Carry some virtual workers through the steps of an epoch, in step with the others."""
    client = WorkerClient(config.source, config.consistency, assignment.worker, assignment=assignment.number)
    client.await_version(assignment.first)
    given = zip(assignment.blocks, assignment.sizes, loads, strict=True)
    blocks = {position: SizedLoad(n_rows, load) for position, n_rows, load in given}
    buffer = RowBuffer()
    virtual_workers = {
        number: VirtualWorker(config, assignment.epoch, [blocks[p] for p in positions], buffer)
        for number, positions in assignment.virtual_workers
    }
    report = WorkerReport()
    row_sparse, tables = config.step.row_sparse, dict(config.consistency.tables)
    params = client.join_step(list(virtual_workers), read=not row_sparse)
    while (step := client.version - assignment.first) < assignment.n_steps:
        started = time.perf_counter()
        parts: list[StepPart] = []
        for number, virtual_worker in virtual_workers.items():
            batches, block = virtual_worker.batches(step)
            if block is None:
                parts.append(StepPart(number, float(row_sparse), None))
                continue
            rows = config.step.required_rows(batches)
            own = params if rows is None else client.pull(rows=rows)
            contribution = _compute(config.step, own, batches, block)
            weight, n_rows = contribution.weight, contribution.n_rows
            sums = LossSums(contribution.loss * weight, weight, n_rows, 1)
            # gradients of rows add up: of so many virtual workers, each has an equal part in the mean
            in_mean = config.consistency.virtual_workers if row_sparse else 1.0
            arrays = {
                name: scaled(array, config.share if name in tables else in_mean)
                for name, array in contribution.arrays.items()
            }
            parts.append(StepPart(number, 1.0 if row_sparse else weight, arrays, sums))
            report = report.add(contribution)
        computed = time.perf_counter()
        params = client.push_step(parts, read=not row_sparse, epoch=assignment.epoch)
        report = report._replace(
            computing=report.computing + computed - started, waiting=report.waiting + time.perf_counter() - computed
        )
    return report._replace(skipped=client.skipped)


class SizedLoad(NamedTuple):
    """Number of rows of a block, and the function that loads it."""

    n_rows: int
    load: Load


class VirtualWorker:
    """Minibatches of a virtual worker, by synchronous steps; a step never has rows of two blocks.

    Virtual workers that take turns may share a ``buffer``: minibatches are valid until the next are asked for.
    """

    def __init__(self, config: WorkerConfig, epoch: int, blocks: Sequence[SizedLoad], buffer: RowBuffer) -> None:
        self.order, self.push_every, self.epoch, self._buffer = config.order, config.push_every or 1, epoch, buffer
        self.blocks = blocks
        self.ends = np.cumsum([config.n_steps(block.n_rows) for block in blocks], dtype=int)
        self._held: tuple[int, ShuffledBlock | None] = (-1, None)

    def batches(self, step: int) -> tuple[list[Minibatch], Block | None]:
        """Return the minibatches of a step, and their block; none after the last."""
        position = int(np.searchsorted(self.ends, step, side="right"))
        if position >= len(self.blocks):
            return [], None
        shuffled = self._shuffled(position)
        start = (step - (int(self.ends[position - 1]) if position else 0)) * self.push_every
        stop = min(start + self.push_every, self.order.n_batches(shuffled.block.n_rows))
        return shuffled.batches(start, stop), shuffled.block

    def _shuffled(self, position: int) -> ShuffledBlock:
        """Return the rows of a block in their order; no other block is held."""
        held, shuffled = self._held
        if shuffled is None or held != position:
            self._held = held, None  # let go of one before the next is loaded
            shuffled = self.order.shuffled(self.blocks[position].load(), self.epoch, self._buffer)
            self._held = position, shuffled
        return shuffled


def _compute(step: WorkerStep, params: dict[str, Array], batches: list[Minibatch], block: Block) -> Contribution:
    """Return the contribution of minibatches; where its loss is not finite, the block may be the reason."""
    contribution = step.compute(params, batches)
    if not np.isfinite(contribution.loss):
        check_finite(block)
    return contribution


MOST_DEATHS = 10
"""An assignment that has met so many deaths of workers, beyond those that Dask allows, is taken to cause them."""


class TrainingPool:
    """Pool that carries out assignments as long tasks.

    On a cluster they run beside their blocks and give their thread back; those of a lost worker start elsewhere.

    Parameters
    ----------
    engine : Engine
        Holds the blocks.
    config : WorkerConfig

    Attributes
    ----------
    tasks : WorkerPool
        The tag of each task is its assignment, its result a `WorkerReport`.
    """

    def __init__(self, engine: Engine, config: WorkerConfig) -> None:
        self.engine: Any = engine
        self.config = config
        self._is_on_cluster = isinstance(engine, FuturesEngine)
        self.tasks: WorkerPool
        if isinstance(engine, FuturesEngine):
            self.tasks = ClusterPool(engine.client, retries=MOST_DEATHS)
        else:
            self.tasks = LocalPool(engine.profile.n_threads)

    def holders(self) -> list[str]:
        """Return for each block the address of a worker that holds it, or is to load it."""
        return list(self.engine.homes()) if self._is_on_cluster else [HERE] * self.engine.n_blocks

    def start(self, assignment: Assignment, address: str) -> None:
        """Start an assignment, best on this worker."""
        call: tuple[Any, ...]
        if self._is_on_cluster:
            call = carry_out, self.config, assignment, self.engine.sources(assignment.blocks), self.engine.change
        else:
            call = carry_out_here, self.config, assignment, [partial(self.engine.block, at) for at in assignment.blocks]
        self.tasks.submit(*call, tag=assignment, worker=address, secede=True)


def carry_out(config: WorkerConfig, assignment: Assignment, sources: Any, change: Any) -> WorkerReport:
    """Carry out an assignment on a Dask worker."""
    return _run(config, assignment, loads_of(sources, change), get_worker().address)


def carry_out_here(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load]) -> WorkerReport:
    """Carry out an assignment in a thread of this process."""
    return _run(config, assignment, loads, HERE)


def _run(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load], address: str) -> WorkerReport:
    run = run_synchronous if assignment.virtual_workers else run_asynchronous
    with computing():
        return run(config, assignment, loads)._replace(address=address)
