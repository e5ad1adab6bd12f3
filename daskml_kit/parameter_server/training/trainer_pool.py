"""Training pool: assignments as long tasks beside their blocks, on a cluster or on threads of this process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from distributed import get_worker

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy
from daskml_kit.engines.cluster import FuturesEngine, loads_of
from daskml_kit.engines.engine import Engine, load
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
        if self._is_on_cluster:
            function, sources = carry_out, self.engine.sources(assignment.blocks)
        else:
            function, sources = carry_out_here, [self.engine.blocks[position] for position in assignment.blocks]
        call = function, self.config, assignment, sources, self.engine.change
        self.tasks.submit(*call, tag=assignment, worker=address, secede=True)


def carry_out(config: WorkerConfig, assignment: Assignment, sources: Any, change: Any) -> WorkerReport:
    """Carry out an assignment on a Dask worker."""
    return _run(config, assignment, loads_of(sources, change), get_worker().address)


def carry_out_here(config: WorkerConfig, assignment: Assignment, sources: Any, change: Any) -> WorkerReport:
    """Carry out an assignment in a thread of this process."""
    return _run(config, assignment, [partial(_load_here, source, change) for source in sources], HERE)


def _load_here(source: Block | Lazy, change: Any) -> Block:
    return load(source, change) if isinstance(source, Lazy) else source


def _run(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load], address: str) -> WorkerReport:
    run = run_synchronous if assignment.virtual_workers else run_asynchronous
    with computing():
        return run(config, assignment, loads)._replace(address=address)
