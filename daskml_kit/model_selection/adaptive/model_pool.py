"""Models trained on the workers of a cluster, beside the blocks they visit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cloudpickle
import dask
from dask.delayed import Delayed
from distributed import CancelledError, Client, Future, as_completed, futures_of, get_worker, rejoin, secede, wait

from daskml_kit.data.collections import fits
from daskml_kit.data.shards import choose_holders
from daskml_kit.engines.engine import available_threads
from daskml_kit.engines.open import find_client
from daskml_kit.exceptions import LostDataError
from daskml_kit.model_selection.adaptive.holdout import Sides, joined
from daskml_kit.model_selection.adaptive.partial_fit import (
    Bench,
    Candidate,
    Lesson,
    Parts,
    Score,
    attempt,
    beginner,
    judge,
    visit,
    visiting_order,
)
from daskml_kit.model_selection.adaptive.threads import ThreadBench


class Held:
    """The blocks of a search on a cluster: persisted where they fit, else computed while models visit them.

    Parameters
    ----------
    client : distributed.Client
    sides : Sides
    """

    def __init__(self, client: Client, sides: Sides) -> None:
        self._client = client
        self._recipes = sides.train
        self.persisted = fits(client, sides.n_bytes) or not sides.separable
        test = dask.delayed(joined)([list(recipe.parts) for recipe in sides.test])
        rows = [part for recipe in sides.train for part in recipe.parts] if self.persisted else []
        futures = _started(client, [*rows, test])
        wait(futures)
        for future in futures:
            if future.status != "finished":
                future.result()
        *held, self.test = futures
        width = len(sides.train[0].parts)
        self._blocks = [tuple(held[i : i + width]) for i in range(0, len(held), width)]
        self._homes = self._find_homes()

    @property
    def n_blocks(self) -> int:
        return len(self._recipes)

    def block(self, number: int) -> tuple[Future, ...]:
        """Return the parts of a block; one that is not persisted is forgotten when nothing waits for it any more."""
        if self.persisted:
            return self._blocks[number]
        return tuple(_started(self._client, self._recipes[number].parts))

    def place(self, number: int) -> dict[str, Any]:
        """Return the options by which a task is put beside a block, if that lies anywhere."""
        return {"workers": [self._homes[number]], "allow_other_workers": True} if self._homes else {}

    def _find_homes(self) -> list[str]:
        first = [parts[0] for parts in self._blocks]
        if not first:
            return []
        holders, workers = self._client.who_has(first), sorted(self._client.nthreads())
        sizes = self._client.nbytes([future.key for future in first], summary=False)
        return choose_holders(
            [holders.get(future.key) or workers for future in first], [sizes.get(future.key, 0) for future in first]
        )


def _started(client: Client, tasks: Sequence[Delayed]) -> list[Future]:
    return [futures_of(task)[0] for task in client.persist(list(tasks))]


LEG = 4
"""The most calls between two states of a model that outlive its worker."""
SMALL_STATE = 2**18
"""Models of up to so many bytes are kept by this process while they wait; larger ones stay on their workers."""
SLOTS_A_THREAD = 2
"""One model in training, and one to go on with while this process hears of the first."""
LEGS_A_THREAD = 4
"""Legs that are submitted at once where blocks are persisted, so that each worker has some that visit its blocks."""


class Trained(NamedTuple):
    """A model after the calls of its leg, and their seconds; ``error`` is the traceback of the last, if it failed."""

    model: Any
    calls: int
    seconds: float
    error: str | None = None


class Report(NamedTuple):
    """What comes back from a worker: the model where it is small, and its score where it was due or it failed."""

    state: bytes | None
    calls: int
    seconds: float
    score: float | None
    score_time: float
    error: str | None = None


@dataclass
class ModelState:
    """Where a model is: how it was after ``calls``, and the seconds of those since it was scored at ``scored``."""

    state: bytes | Future
    calls: int = 0
    goal: int = 0
    scored: int = 0
    seconds: float = 0.0
    exhibit: bytes | Future | None = None
    """The model as it was when it was scored last."""

    def score(self, model: Any, report: Report) -> Score:
        """Return what the report says of the model, which is kept as it is now."""
        fit_time = self.seconds / (self.calls - self.scored)
        self.exhibit, self.scored, self.seconds = self.state, self.calls, 0.0
        return Score(model, self.calls, fit_time, float(report.score or 0), report.score_time, report.error)


class Leg(NamedTuple):
    """What a model is at: visits of ``blocks``, after which there is ``report`` of what was ``trained``."""

    model: Any
    blocks: list[int]
    trained: Future
    report: Future


class ClusterBench(AbstractContextManager["ClusterBench"]):
    """Trains models by one task a call, each where its block lies; models move, blocks do not.

    A worker that is lost takes with it what its models have learned in the few legs that are submitted, which is
    learned again. Where blocks are not persisted, no more than ``slots`` of them are in memory at once, each for all
    models that wait for it.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    lesson : Lesson
    candidates : mapping of models to Candidate
    held : Held
    """

    def __init__(self, client: Client, lesson: Lesson, candidates: Mapping[Any, Candidate], held: Held) -> None:
        self.slots = SLOTS_A_THREAD * sum(client.nthreads().values())
        self._client, self._lesson, self._candidates, self._held = client, lesson, candidates, held
        self._waiting: list[Any] = []
        self._calls = LEG if held.persisted else 1
        self._most = LEGS_A_THREAD * self.slots // SLOTS_A_THREAD
        self._progress: dict[Any, ModelState] = {}
        self._running: dict[str, Leg] = {}
        self._done = as_completed(loop=client.loop, with_results=True)

    def start(self, model: Any, calls: int) -> None:
        if model not in self._progress:
            self._progress[model] = ModelState(cloudpickle.dumps(beginner(self._lesson, self._candidates[model])))
        self._progress[model].goal = calls
        self._waiting.append(model)
        self._fill()

    def finished(self) -> Score:
        while True:
            future, report = next(self._done)
            leg = self._running.pop(future.key)
            if isinstance(report, CancelledError):
                raise LostDataError(
                    "a block of the data was lost with its worker and cannot be computed again: persist data, or read "
                    "it from storage; data that was scattered has no recipe"
                ) from report
            progress = self._progress[leg.model]
            progress.state = leg.trained if report.state is None else report.state
            progress.calls += report.calls
            progress.seconds += report.seconds
            if report.score is None:
                self._waiting.append(leg.model)
            self._fill()
            if report.score is not None:
                return progress.score(leg.model, report)

    def trained(self, model: Any) -> Any:
        state = self._progress[model].exhibit
        return cloudpickle.loads(state) if isinstance(state, bytes) else state.result().model  # type: ignore[union-attr]

    def __exit__(self, *details: object) -> None:
        self._client.cancel([future for leg in self._running.values() for future in (leg.report, leg.trained)])

    def _fill(self) -> None:
        """Submit legs of the models that may go on."""
        while (model := self._ready()) is not None:
            self._waiting.remove(model)
            self._go_on(model, self._next_blocks(model))

    def _ready(self) -> Any:
        """Return a model that may go on, if any: while legs are few, or blocks in memory where not persisted."""
        if self._held.persisted:
            return self._waiting[0] if self._waiting and len(self._running) < self._most else None
        here = {block for leg in self._running.values() for block in leg.blocks}
        first = self._waiting[0] if self._waiting and len(here) < self.slots else None
        return next((model for model in self._waiting if self._next_blocks(model)[0] in here), first)

    def _next_blocks(self, model: Any) -> list[int]:
        progress = self._progress[model]
        stop = min(progress.calls + self._calls, progress.goal)
        return list(visiting_order(self._candidates[model].seed, self._held.n_blocks, progress.calls, stop))

    def _go_on(self, model: Any, blocks: list[int]) -> None:
        """Submit a leg of a model, and a report at its end."""
        progress = self._progress[model]
        trained: Any = progress.state
        for block in blocks:
            parts, place = self._held.block(block), self._held.place(block)
            first = trained is progress.state
            options = {"first": first, "raises": self._lesson.raises, "pure": False, **place}
            trained = self._client.submit(train, trained, parts, self._lesson.fit_params, **options)
        due = progress.calls + len(blocks) == progress.goal
        test, scorer = (self._held.test, self._lesson.scorer) if due else (None, None)
        report = self._client.submit(report_on, trained, test, scorer, self._lesson.error_score, pure=False)
        self._running[report.key] = Leg(model, blocks, trained, report)
        self._done.add(report)


def train(origin: bytes | Trained, parts: Parts, fit_params: Mapping[str, Any], first: bool, raises: bool) -> Trained:
    """Return a copy of the model after one more call, on the block's worker; ``first`` says that a leg begins."""
    if isinstance(origin, bytes):
        origin = Trained(cloudpickle.loads(origin), 0, 0.0)
    elif origin.error is not None:
        return origin
    else:
        origin = Trained(deepcopy(origin.model), *((0, 0.0) if first else (origin.calls, origin.seconds)))
    took, error = attempt(partial(visit, origin.model, parts, fit_params), raises)
    if error is not None:
        return Trained(None, origin.calls + 1, origin.seconds, error)
    return Trained(origin.model, origin.calls + 1, origin.seconds + took)


def report_on(
    trained: Trained, test: Parts | None, scorer: Callable[..., float] | None, error_score: float | str
) -> Report:
    """Return the model if it is small, and its score on ``test`` if that is given, on a worker."""
    state = cloudpickle.dumps(trained.model)
    report = Report(state if len(state) <= SMALL_STATE else None, trained.calls, trained.seconds, None, 0.0)
    failed = report._replace(score=math.nan if isinstance(error_score, str) else error_score)
    if trained.error is not None:
        return failed._replace(error=trained.error)
    if test is None or scorer is None:
        return report
    judged, error = attempt(partial(judge, trained.model, test, scorer), isinstance(error_score, str))
    return failed._replace(error=error) if error else report._replace(score=judged[0], score_time=judged[1])


ONE_THREAD = ("sync", "synchronous", "single-threaded")


def open_bench(lesson: Lesson, candidates: Mapping[Any, Candidate], sides: Sides, lazy: bool) -> Bench:
    """Return the bench to train on: the cluster where Dask data meets one, else threads of this process.

    Rows to train on are held where they fit; rows to score on are held in any case.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    """
    client = find_client() if lazy else None
    if client is not None:
        return ClusterBench(client, lesson, candidates, Held(client, sides))
    test_parts = [recipe.parts for recipe in sides.test]
    if fits(None, sides.n_bytes) or not sides.separable:
        train, test = dask.compute([recipe.parts for recipe in sides.train], test_parts)
    else:
        train, (test,) = sides.train, dask.compute(test_parts)
    return ThreadBench(lesson, candidates, train, joined(test), n_threads())


def n_threads() -> int:
    """Return how many threads train models here: one inside of a Dask task, or where ``dask.config`` says so."""
    if in_task() or dask.config.get("scheduler", None) in ONE_THREAD:
        return 1
    return available_threads()


@contextmanager
def free_of_task(needed: bool) -> Iterator[None]:
    """Leave the thread of the Dask task that this runs in, if any, to the tasks that are waited for inside."""
    if not (needed and in_task()):
        yield
        return
    secede()
    try:
        yield
    finally:
        rejoin()


def in_task() -> bool:
    """Whether this runs in a task on a worker."""
    try:
        get_worker()
    except ValueError:
        return False
    return True
