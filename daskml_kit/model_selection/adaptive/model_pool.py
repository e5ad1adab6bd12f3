"""Model pools: candidates trained block by block, by threads of this process or beside the blocks of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

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
    TrainedModel,
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
    return LocalModelPool(spec, candidates, train if held else split.train, joined(test))


class LocalModelPool(ModelPool):
    """Trains each model in one thread at a time, on blocks that are held here or computed at each visit.

    Parameters
    ----------
    spec : TrainingSpec
    candidates : mapping of models to Candidate
    train : sequence of rows
        In memory or delayed.
    test : rows
    """

    def __init__(
        self, spec: TrainingSpec, candidates: Mapping[Any, Candidate], train: Sequence[Parts], test: Parts
    ) -> None:
        n_threads = local_threads()
        super().__init__(LocalPool(n_threads), n_threads, spec, candidates)
        self._blocks, self._test = train, test
        self._models: dict[Any, TrainedModel] = {}

    def start(self, model: Any, calls: int) -> None:
        self._pool.submit(self._train, model, calls, tag=model)

    def next(self) -> ModelScore:
        return self._pool.next().value  # type: ignore[no-any-return]

    def trained(self, model: Any) -> Any:
        return self._models[model].model

    def _train(self, model: Any, calls: int) -> ModelScore:
        candidate, spec = self._candidates[model], self._spec
        known = self._models.get(model) or initial_model(spec, candidate)
        trained = known._replace(model=deepcopy(known.model))
        for block in block_order(candidate.seed, len(self._blocks), known.calls, calls):
            if self._pool.stopped.is_set():
                raise CancelledError
            trained = partial_fit_step(trained, load(self._blocks[block]), spec.fit_params, spec.raises)
            if trained.error is not None:
                break
        else:
            self._models[model] = trained
        return score_model(model, trained, self._test, spec)


@dataclass
class ModelState:
    """State of a model after ``calls``, of the ``target`` that it is trained to."""

    state: bytes | Future
    calls: int = 0
    target: int = 0
    scored_state: bytes | Future | None = None
    """The model as it was when it was scored last."""


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
        super().__init__(ClusterPool(client), SLOTS_A_THREAD * n_threads, spec, candidates)
        self._blocks, self._most_chunks = blocks, CHUNKS_A_THREAD * n_threads
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
            trained, (state, score) = self._pool.next()
            known = self._models[score.model]
            del self._visited[score.model]
            known.state, known.calls = trained if state is None else state, score.calls
            if score.score is None:
                self._waiting.append(score.model)
            self._submit_ready()
            if score.score is not None:
                known.scored_state = known.state
                return score  # type: ignore[no-any-return]

    def trained(self, model: Any) -> Any:
        state: Any = self._models[model].scored_state
        return (cloudpickle.loads(state) if isinstance(state, bytes) else state.result()).model

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
            step = trained, self._blocks.block(block), spec.fit_params, spec.raises
            trained = self._pool.start(train_call, *step, worker=self._blocks.home(block))
        test = self._blocks.test if state.calls + len(blocks) == state.target else None
        self._pool.submit(report_model, model, trained, test, self._scoring, tag=trained)
        self._visited[model] = blocks


def train_call(origin: bytes | TrainedModel, parts: Parts, fit_params: Mapping[str, Any], raises: bool) -> TrainedModel:
    """Return a copy of the model after one more call, on the block's worker; one that has failed stays as it is."""
    known: TrainedModel = cloudpickle.loads(origin) if isinstance(origin, bytes) else deepcopy(origin)
    return known if known.error is not None else partial_fit_step(known, parts, fit_params, raises)


def report_model(
    name: Any, trained: TrainedModel, test: Parts | None, spec: TrainingSpec
) -> tuple[bytes | None, ModelScore]:
    """Return the model if it is small, and its score if ``test`` is given or it has failed, on a worker."""
    state = cloudpickle.dumps(trained)
    due = test is not None or trained.error is not None
    score = score_model(name, trained, test or (), spec) if due else ModelScore(name, trained.calls, trained.seconds)
    return state if len(state) <= SMALL_STATE else None, score
