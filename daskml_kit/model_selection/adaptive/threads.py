"""Models trained by threads of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from queue import SimpleQueue
from threading import Event
from typing import Any

from daskml_kit.model_selection.adaptive.holdout import Recipe, load
from daskml_kit.model_selection.adaptive.partial_fit import (
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


class ThreadBench(AbstractContextManager["ThreadBench"]):
    """Trains each model in one thread at a time, on blocks that are held here or computed at each visit.

    Parameters
    ----------
    lesson : Lesson
    candidates : mapping of models to Candidate
    train : sequence of Recipe or of held rows
    test : rows
    n_threads : int
    """

    def __init__(
        self,
        lesson: Lesson,
        candidates: Mapping[Any, Candidate],
        train: Sequence[Recipe | Parts],
        test: Parts,
        n_threads: int,
    ) -> None:
        self.slots = n_threads
        self._lesson, self._candidates, self._blocks, self._test = lesson, candidates, train, test
        self._states: dict[Any, tuple[int, Any]] = {}
        self._done: SimpleQueue[Future[Score]] = SimpleQueue()
        self._over = Event()
        self._pool = ThreadPoolExecutor(n_threads, "daskml-adaptive")

    def start(self, model: Any, calls: int) -> None:
        self._pool.submit(self._train, model, calls).add_done_callback(self._done.put)

    def finished(self) -> Score:
        return self._done.get().result()

    def trained(self, model: Any) -> Any:
        return self._states[model][1]

    def __exit__(self, *details: object) -> None:
        self._over.set()
        self._pool.shutdown(cancel_futures=True)

    def _train(self, model: Any, calls: int) -> Score:
        candidate = self._candidates[model]
        done, state = self._states.get(model, (0, None))
        trained = deepcopy(state) if state is not None else beginner(self._lesson, candidate)
        seconds, lesson = 0.0, self._lesson
        for number, block in enumerate(visiting_order(candidate.seed, len(self._blocks), done, calls), 1):
            if self._over.is_set():
                raise CancelledError
            parts = load(self._blocks[block])
            took, error = attempt(partial(visit, trained, parts, lesson.fit_params), lesson.raises)
            if error is not None:
                return Score(model, done + number, seconds / number, lesson.error_score, 0.0, error)
            seconds += took
        judged, error = attempt(partial(judge, trained, self._test, lesson.scorer), lesson.raises)
        score, score_time = (lesson.error_score, 0.0) if judged is None else judged
        self._states[model] = (calls, trained)
        return Score(model, calls, seconds / (calls - done), score, score_time, error)
