"""Worker pool of a training: tasks on the workers of a cluster, or threads of this process."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from distributed import CancelledError, Future, KilledWorker, get_worker, secede

from daskml_kit.data.block import Block
from daskml_kit.data.collections import Lazy
from daskml_kit.engines.cluster import FuturesEngine, loads_of
from daskml_kit.engines.engine import LocalEngine, load
from daskml_kit.engines.runtime import computing
from daskml_kit.exceptions import LostDataError
from daskml_kit.parameter_server.training.worker_loop import (
    Assignment,
    Load,
    WorkerConfig,
    WorkerReport,
    run_asynchronous,
    run_synchronous,
)

HERE = "this process"
MOST_DEATHS = 10
"""An assignment that has met so many deaths of workers is taken to cause them."""


class FinishedAssignment(NamedTuple):
    """Assignment that has ended, and the report on it."""

    assignment: Assignment
    report: WorkerReport


class TrainingPool(Protocol):
    """Pool that carries out assignments."""

    def threads(self) -> Mapping[str, int]:
        """Return the threads of each Dask worker that there is now, by address."""

    def holders(self) -> list[str]:
        """Return for each block the address of a Dask worker that holds it, or is to load it."""

    def start(self, assignment: Assignment, address: str) -> None:
        """Start an assignment, best on this Dask worker."""

    def finished(self, seconds: float) -> FinishedAssignment | None:
        """Return an assignment that has ended; None if none does in this time."""

    def stop(self) -> None:
        """Start nothing more."""


class ClusterTrainingPool:
    """Pool of long tasks beside their blocks, which give their thread back; those of a lost worker start elsewhere.

    Parameters
    ----------
    engine : FuturesEngine
    config : WorkerConfig
    """

    def __init__(self, engine: FuturesEngine, config: WorkerConfig) -> None:
        self.engine, self.config = engine, config
        self._running: dict[Any, tuple[Assignment, str, Future]] = {}
        self._deaths: Counter[tuple[str, int]] = Counter()
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def threads(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.engine.client.nthreads()
        return found

    def holders(self) -> list[str]:
        return self.engine.homes()

    def start(self, assignment: Assignment, address: str) -> None:
        sources = self.engine.sources(assignment.blocks)
        arguments = (self.config, assignment, sources, self.engine.change)
        placed: dict[str, Any] = {"workers": [address], "allow_other_workers": True}
        future = self.engine.client.submit(carry_out, *arguments, pure=False, **placed)
        self._running[future.key] = assignment, address, future
        future.add_done_callback(self._done.put)

    def finished(self, seconds: float) -> FinishedAssignment | None:
        try:
            future = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        assignment, address, _ = self._running.pop(future.key)
        try:
            return FinishedAssignment(assignment, future.result())
        except KilledWorker:
            self._deaths[assignment.worker, assignment.number] += 1
            if self._deaths[assignment.worker, assignment.number] >= MOST_DEATHS:
                raise
            self.start(assignment, address)
            return None
        except CancelledError as error:
            raise LostDataError(
                "a block of the data was lost with its worker and cannot be computed again: persist data, or read it "
                "from storage; data that was scattered has no recipe"
            ) from error

    def stop(self) -> None:
        self.engine.client.cancel([future for _, _, future in self._running.values()])


def carry_out(config: WorkerConfig, assignment: Assignment, sources: Any, change: Any) -> WorkerReport:
    """Carry out an assignment on a Dask worker, in a thread that it no longer counts."""
    secede()
    return _run(config, assignment, loads_of(sources, change), get_worker().address)


class LocalTrainingPool:
    """Pool of threads of this process.

    Parameters
    ----------
    engine : LocalEngine
    config : WorkerConfig
    n_threads : int
    """

    def __init__(self, engine: LocalEngine, config: WorkerConfig, n_threads: int) -> None:
        self.engine, self.config, self.n_threads = engine, config, n_threads
        self._pool = ThreadPoolExecutor(n_threads, "daskml-kit-trainer")
        self._done: queue.SimpleQueue[FinishedAssignment | BaseException] = queue.SimpleQueue()

    def threads(self) -> Mapping[str, int]:
        return {HERE: self.n_threads}

    def holders(self) -> list[str]:
        return [HERE] * self.engine.n_blocks

    def start(self, assignment: Assignment, address: str) -> None:
        self._pool.submit(self._carry_out, assignment)

    def finished(self, seconds: float) -> FinishedAssignment | None:
        try:
            done = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(done, BaseException):
            raise done
        return done

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _carry_out(self, assignment: Assignment) -> None:
        try:
            loads = [self._load(self.engine.blocks[position]) for position in assignment.blocks]
            self._done.put(FinishedAssignment(assignment, _run(self.config, assignment, loads, HERE)))
        except BaseException as error:  # whatever it is, the thread that waits raises it
            self._done.put(error)

    def _load(self, source: Block | Lazy) -> Load:
        return lambda: source if isinstance(source, Block) else load(source, self.engine.change)


def _run(config: WorkerConfig, assignment: Assignment, loads: Sequence[Load], address: str) -> WorkerReport:
    run = run_synchronous if assignment.virtual_workers else run_asynchronous
    with computing():
        return run(config, assignment, loads)._replace(address=address)
