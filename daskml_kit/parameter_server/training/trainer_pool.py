"""Training pool: assignments as long tasks beside their blocks, on a cluster or on threads of this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from distributed import get_worker

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy
from daskml_kit.engines.cluster import FuturesEngine, loads_of
from daskml_kit.engines.engine import LocalEngine, load
from daskml_kit.engines.runtime import computing
from daskml_kit.parameter_server.training.worker_loop import (
    Assignment,
    Load,
    WorkerConfig,
    WorkerReport,
    run_asynchronous,
    run_synchronous,
)
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.worker_pool import HERE, LocalPool, WorkerPool

MOST_DEATHS = 10
"""An assignment that has met so many deaths of workers, beyond those that Dask allows, is taken to cause them."""


class FinishedAssignment(NamedTuple):
    """Assignment that has ended, and the report on it."""

    assignment: Assignment
    report: WorkerReport


class TrainingPool(ABC):
    """Pool that carries out assignments.

    Parameters
    ----------
    pool : WorkerPool
    config : WorkerConfig
    """

    def __init__(self, pool: WorkerPool, config: WorkerConfig) -> None:
        self.pool, self.config = pool, config

    @abstractmethod
    def holders(self) -> list[str]:
        """Return for each block the address of a worker that holds it, or is to load it."""

    @abstractmethod
    def start(self, assignment: Assignment, address: str) -> None:
        """Start an assignment, best on this worker."""

    def threads(self) -> Mapping[str, int]:
        """Return the threads of each worker that there is now, by address."""
        return self.pool.threads()

    def finished(self, seconds: float) -> FinishedAssignment | None:
        """Return an assignment that has ended; None if none does in this time."""
        done = self.pool.next(seconds)
        return None if done is None else FinishedAssignment(done.tag, done.value)

    def stop(self) -> None:
        """Start nothing more."""
        self.pool.close()


class ClusterTrainingPool(TrainingPool):
    """Long tasks beside their blocks, which give their thread back; those of a lost worker start elsewhere.

    Parameters
    ----------
    engine : FuturesEngine
    config : WorkerConfig
    """

    def __init__(self, engine: FuturesEngine, config: WorkerConfig) -> None:
        super().__init__(ClusterPool(engine.client, retries=MOST_DEATHS), config)
        self.engine = engine

    def holders(self) -> list[str]:
        return self.engine.homes()

    def start(self, assignment: Assignment, address: str) -> None:
        call = carry_out, self.config, assignment, self.engine.sources(assignment.blocks), self.engine.change
        self.pool.submit(*call, tag=assignment, worker=address, secede=True)


class LocalTrainingPool(TrainingPool):
    """Threads of this process.

    Parameters
    ----------
    engine : LocalEngine
    config : WorkerConfig
    n_threads : int
    """

    def __init__(self, engine: LocalEngine, config: WorkerConfig, n_threads: int) -> None:
        super().__init__(LocalPool(n_threads), config)
        self.engine = engine

    def holders(self) -> list[str]:
        return [HERE] * self.engine.n_blocks

    def start(self, assignment: Assignment, address: str) -> None:
        loads = [partial(self._load, self.engine.blocks[position]) for position in assignment.blocks]
        self.pool.submit(_run, self.config, assignment, loads, HERE, tag=assignment)

    def _load(self, source: Block | Lazy) -> Block:
        return source if isinstance(source, Block) else load(source, self.engine.change)


def carry_out(config: WorkerConfig, assignment: Assignment, sources: Any, change: Any) -> WorkerReport:
    """Carry out an assignment on a Dask worker."""
    return _run(config, assignment, loads_of(sources, change), get_worker().address)


def _run(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load], address: str) -> WorkerReport:
    run = run_synchronous if assignment.virtual_workers else run_asynchronous
    with computing():
        return run(config, assignment, loads)._replace(address=address)
