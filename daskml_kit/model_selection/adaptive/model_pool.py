"""Model pools: candidates trained block by block, by threads of this process or beside the blocks of a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import cloudpickle
import dask
from distributed import Client, Future

from daskml_kit.data.collections import fits
from daskml_kit.engines.open import find_client
from daskml_kit.engines.runtime import local_threads
from daskml_kit.model_selection.adaptive.holdout import HoldOut, TrainingBlocks, joined, load
from daskml_kit.model_selection.adaptive.partial_fit import (
    Candidate,
    ModelPool,
    ModelScore,
    Parts,
    TrainingSpec,
    block_order,
    initial_model,
    partial_fit_step,
    score_model,
)
from daskml_kit.workers.cluster_pool import ClusterPool
from daskml_kit.workers.worker_pool import LocalPool

CHUNK_CALLS = 4
"""The most calls between two states of a model that outlive its worker."""
SMALL_STATE = 2**18
"""Models of up to so many bytes are kept by this process while they wait; larger ones stay on their workers."""
SLOTS_A_THREAD = 2
"""One model in training, and one to go on with while this process takes in the first."""
CHUNKS_A_THREAD = 4
"""Submitted at once where blocks are persisted, so that each worker has some that visit its blocks."""


def open_model_pool(
    spec: TrainingSpec, candidates: Mapping[Any, Candidate], split: HoldOut, on_dask: bool
) -> ModelPool:
    """Return the pool to train in: the cluster's where Dask data meets one, else threads of this process.

    Rows to train on are held where they fit; rows to score on are held in any case.

    Raises
    ------
    AsynchronousClientError
        Under an asynchronous client.
    """
    client = find_client() if on_dask else None
    if client is not None:
        return ClusterModelPool(client, spec, candidates, TrainingBlocks(client, split))
    held = fits(None, split.n_bytes) or not split.separable
    train, test = dask.compute(split.train if held else [], split.test)
    return LocalModelPool(spec, candidates, train if held else split.train, joined(test), local_threads())


class LocalModelPool(ModelPool):
    """Trains each model in one thread at a time, on blocks that are held here or computed at each visit.

    Parameters
    ----------
    spec : TrainingSpec
    candidates : mapping of models to Candidate
    train : sequence of rows
        In memory or delayed.
    test : rows
    n_threads : int
    """

    def __init__(
        self,
        spec: TrainingSpec,
        candidates: Mapping[Any, Candidate],
        train: Sequence[Parts],
        test: Parts,
        n_threads: int,
    ) -> None:
        self.slots = n_threads
        self._spec, self._candidates, self._blocks, self._test = spec, candidates, train, test
        self._states: dict[Any, tuple[int, Any]] = {}
        self._pool = LocalPool(n_threads)

    def start(self, model: Any, calls: int) -> None:
        self._pool.submit(self._train, model, calls, tag=model)

    def next(self) -> ModelScore:
        finished: Any = self._pool.next()
        return finished.value  # type: ignore[no-any-return]

    def trained(self, model: Any) -> Any:
        return self._states[model][1]

    def close(self) -> None:
        self._pool.close()

    def _train(self, model: Any, calls: int) -> ModelScore:
        candidate, spec = self._candidates[model], self._spec
        done, state = self._states.get(model, (0, None))
        trained = deepcopy(state) if state is not None else initial_model(spec, candidate)
        total = 0.0
        for number, block in enumerate(block_order(candidate.seed, len(self._blocks), done, calls), 1):
            if self._pool.stopped.is_set():
                raise CancelledError
            seconds, error = partial_fit_step(trained, load(self._blocks[block]), spec.fit_params, spec.raises)
            if error is not None:
                return ModelScore(model, done + number, total / number, spec.error_score, 0.0, error)
            total += seconds
        score, score_time, error = score_model(trained, self._test, spec)
        self._states[model] = (calls, trained)
        return ModelScore(model, calls, total / (calls - done), score, score_time, error)


class TrainedModel(NamedTuple):
    """Model after some calls of its chunk, and their seconds; ``error`` is the traceback of the last, if it failed."""

    model: Any
    calls: int
    seconds: float
    error: str | None = None


class ModelReport(NamedTuple):
    """Report of a worker: the model where it is small, and its score where it was due or the model failed."""

    state: bytes | None
    calls: int
    seconds: float
    score: float | None
    score_time: float
    error: str | None = None


@dataclass
class ModelState:
    """State of a model after ``calls``, and the seconds of those since it was scored at ``scored``."""

    state: bytes | Future
    calls: int = 0
    target: int = 0
    scored: int = 0
    seconds: float = 0.0
    scored_state: bytes | Future | None = None
    """The model as it was when it was scored last."""

    def add(self, report: ModelReport, trained: Future) -> None:
        """Take in the report of a chunk of calls."""
        self.state = trained if report.state is None else report.state
        self.calls += report.calls
        self.seconds += report.seconds

    def score(self, model: Any, report: ModelReport) -> ModelScore:
        """Return the score that is reported of the model, which is kept as it is now."""
        fit_time = self.seconds / (self.calls - self.scored)
        self.scored_state, self.scored, self.seconds = self.state, self.calls, 0.0
        return ModelScore(model, self.calls, fit_time, float(report.score or 0), report.score_time, report.error)


class ClusterModelPool(ModelPool):
    """Trains models by one task a call, each where its block lies; models move, blocks do not.

    A worker that is lost takes with it the training of its models in the few chunks of calls that are submitted, which
    is done again. Where blocks are not persisted, no more than ``slots`` of them are in memory at once, each for all
    models that wait for it.

    Parameters
    ----------
    client : distributed.Client
        A synchronous client.
    spec : TrainingSpec
    candidates : mapping of models to Candidate
    blocks : TrainingBlocks
    """

    def __init__(
        self, client: Client, spec: TrainingSpec, candidates: Mapping[Any, Candidate], blocks: TrainingBlocks
    ) -> None:
        n_threads = sum(client.nthreads().values())
        self.slots = SLOTS_A_THREAD * n_threads
        self._most_chunks = CHUNKS_A_THREAD * n_threads
        self._pool = ClusterPool(client)
        self._spec, self._candidates, self._blocks = spec, candidates, blocks
        self._scoring = spec._replace(estimator=None, fit_params={})  # which may be large
        self._chunk_calls = CHUNK_CALLS if blocks.persisted else 1
        self._waiting: list[Any] = []
        self._models: dict[Any, ModelState] = {}
        self._visited: dict[Any, list[int]] = {}
        """The blocks of the chunks that are submitted, by model."""

    def start(self, model: Any, calls: int) -> None:
        if model not in self._models:
            self._models[model] = ModelState(cloudpickle.dumps(initial_model(self._spec, self._candidates[model])))
        self._models[model].target = calls
        self._waiting.append(model)
        self._submit_ready()

    def next(self) -> ModelScore:
        while True:
            finished: Any = self._pool.next()
            (model, trained), report = finished
            del self._visited[model]
            self._models[model].add(report, trained)
            if report.score is None:
                self._waiting.append(model)
            self._submit_ready()
            if report.score is not None:
                return self._models[model].score(model, report)

    def trained(self, model: Any) -> Any:
        state = self._models[model].scored_state
        return cloudpickle.loads(state) if isinstance(state, bytes) else state.result().model  # type: ignore[union-attr]

    def close(self) -> None:
        self._pool.close()

    def _submit_ready(self) -> None:
        """Submit chunks of the models that may go on."""
        while (model := self._next_model()) is not None:
            self._waiting.remove(model)
            self._submit(model, self._next_blocks(model))

    def _next_model(self) -> Any:
        """Return a model that may go on, if any: while chunks are few, or blocks in memory where not persisted."""
        if self._blocks.persisted:
            return self._waiting[0] if self._waiting and self._pool.n_running < self._most_chunks else None
        here = {block for blocks in self._visited.values() for block in blocks}
        first = self._waiting[0] if self._waiting and len(here) < self.slots else None
        return next((model for model in self._waiting if self._next_blocks(model)[0] in here), first)

    def _next_blocks(self, model: Any) -> list[int]:
        state = self._models[model]
        stop = min(state.calls + self._chunk_calls, state.target)
        return list(block_order(self._candidates[model].seed, self._blocks.n_blocks, state.calls, stop))

    def _submit(self, model: Any, blocks: list[int]) -> None:
        """Submit a chunk of calls of a model, and a report at its end."""
        state, spec = self._models[model], self._spec
        trained: Any = state.state
        for block in blocks:
            step = trained, self._blocks.block(block), spec.fit_params, trained is state.state, spec.raises
            trained = self._pool.start(train_call, *step, worker=self._blocks.home(block))
        due = state.calls + len(blocks) == state.target
        self._pool.submit(
            report_model, trained, self._blocks.test if due else None, self._scoring, tag=(model, trained)
        )
        self._visited[model] = blocks


def train_call(
    origin: bytes | TrainedModel, parts: Parts, fit_params: Mapping[str, Any], first: bool, raises: bool
) -> TrainedModel:
    """Return a copy of the model after one more call, on the block's worker; ``first`` begins a chunk of calls."""
    if isinstance(origin, bytes):
        origin = TrainedModel(cloudpickle.loads(origin), 0, 0.0)
    elif origin.error is not None:
        return origin
    else:
        origin = TrainedModel(deepcopy(origin.model), *((0, 0.0) if first else (origin.calls, origin.seconds)))
    seconds, error = partial_fit_step(origin.model, parts, fit_params, raises)
    model = origin.model if error is None else None
    return TrainedModel(model, origin.calls + 1, origin.seconds + seconds, error)


def report_model(trained: TrainedModel, test: Parts | None, spec: TrainingSpec) -> ModelReport:
    """Return the model if it is small, and its score on ``test`` if that is given, on a worker."""
    state = cloudpickle.dumps(trained.model)
    report = ModelReport(state if len(state) <= SMALL_STATE else None, trained.calls, trained.seconds, None, 0.0)
    if trained.error is not None:
        return report._replace(score=math.nan if spec.raises else spec.error_score, error=trained.error)
    if test is None:
        return report
    score, score_time, error = score_model(trained.model, test, spec)
    return report._replace(score=score, score_time=score_time, error=error)
