"""Who carries out legs: tasks on the workers of a cluster, or threads of this process."""

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
from daskml_kit.parameter_server.training.worker_loop import Course, Leg, Load, Report, run_free, run_lanes

HERE = "this process"
MOST_DEATHS = 10
"""A leg that has met so many deaths of workers is taken to cause them."""


class Done(NamedTuple):
    """A leg that has ended."""

    leg: Leg
    report: Report


class Crew(Protocol):
    """Trainers."""

    def threads(self) -> Mapping[str, int]:
        """Return the threads of each worker that there is now."""

    def holders(self) -> list[str]:
        """Return a worker for each block that holds it, or is to load it."""

    def start(self, leg: Leg, worker: str) -> None:
        """Let a leg begin, best on this worker."""

    def finished(self, seconds: float) -> Done | None:
        """Return a leg that has ended; None if none does in this time."""

    def stop(self) -> None:
        """Start nothing more."""


class ClusterCrew:
    """Long tasks beside their blocks, each of which gives its thread back: a leg of a lost worker starts elsewhere.

    Parameters
    ----------
    engine : FuturesEngine
    course : Course
    """

    def __init__(self, engine: FuturesEngine, course: Course) -> None:
        self.engine, self.course = engine, course
        self._running: dict[Any, tuple[Leg, str, Future]] = {}
        self._deaths: Counter[tuple[str, int]] = Counter()
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def threads(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.engine.client.nthreads()
        return found

    def holders(self) -> list[str]:
        return self.engine.homes()

    def start(self, leg: Leg, worker: str) -> None:
        engine, sources = self.engine, self.engine.sources(leg.blocks)
        future = engine.client.submit(
            carry_out, self.course, leg, sources, engine.change, pure=False, workers=[worker], allow_other_workers=True
        )
        self._running[future.key] = leg, worker, future
        future.add_done_callback(self._done.put)

    def finished(self, seconds: float) -> Done | None:
        try:
            future = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        leg, worker, _ = self._running.pop(future.key)
        try:
            return Done(leg, future.result())
        except KilledWorker:
            self._deaths[leg.trainer, leg.number] += 1
            if self._deaths[leg.trainer, leg.number] >= MOST_DEATHS:
                raise
            self.start(leg, worker)
            return None
        except CancelledError as error:
            raise LostDataError(
                "a block of the data was lost with its worker and cannot be computed again: persist data, or read it "
                "from storage; data that was scattered has no recipe"
            ) from error

    def stop(self) -> None:
        self.engine.client.cancel([future for _, _, future in self._running.values()])


def carry_out(course: Course, leg: Leg, sources: Any, change: Any) -> Report:
    """Carry out a leg on a worker, in a thread that it no longer counts."""
    secede()
    report = _run(course, leg, loads_of(sources, change))
    return report._replace(worker=get_worker().address)


class LocalCrew:
    """Threads of this process.

    Parameters
    ----------
    engine : LocalEngine
    course : Course
    n_threads : int
    """

    def __init__(self, engine: LocalEngine, course: Course, n_threads: int) -> None:
        self.engine, self.course, self.n_threads = engine, course, n_threads
        self._pool = ThreadPoolExecutor(n_threads, "daskml-kit-trainer")
        self._done: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()

    def threads(self) -> Mapping[str, int]:
        return {HERE: self.n_threads}

    def holders(self) -> list[str]:
        return [HERE] * self.engine.n_blocks

    def start(self, leg: Leg, worker: str) -> None:
        self._pool.submit(self._carry_out, leg)

    def finished(self, seconds: float) -> Done | None:
        try:
            done = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(done, BaseException):
            raise done
        return done

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _carry_out(self, leg: Leg) -> None:
        try:
            loads = [self._load(self.engine.blocks[position]) for position in leg.blocks]
            self._done.put(Done(leg, _run(self.course, leg, loads)._replace(worker=HERE)))
        except BaseException as error:  # whatever it is, the thread that waits raises it
            self._done.put(error)

    def _load(self, source: Block | Lazy) -> Load:
        return lambda: source if isinstance(source, Block) else load(source, self.engine.change)


def _run(course: Course, leg: Leg, loads: Sequence[Load]) -> Report:
    with computing():
        return run_lanes(course, leg, loads) if leg.lanes else run_free(course, leg, loads)
