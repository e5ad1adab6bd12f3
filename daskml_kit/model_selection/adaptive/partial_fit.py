"""Incremental training of candidates by ``partial_fit``, block after block, as a policy says."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from traceback import format_exc
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from daskml_kit.activity import hidden
from daskml_kit.data.collections import n_rows
from daskml_kit.engines.runtime import computing
from daskml_kit.model_selection.adaptive.policies import Policy, Record, tell
from daskml_kit.model_selection.search.search_plan import with_params

Parts: TypeAlias = tuple[Any, ...]
"""Some rows: X, or X and y."""


class Candidate(NamedTuple):
    """Candidate of an adaptive search.

    Parameters
    ----------
    params : mapping
        Set on a clone of the estimator.
    seed : tuple of int
        Of the order in which it visits the blocks.
    bracket : int, optional
        Of Hyperband.
    """

    params: Mapping[str, Any]
    seed: tuple[int, ...]
    bracket: int | None = None


class TrainingSpec(NamedTuple):
    """Settings of the training and scoring of all candidates.

    Parameters
    ----------
    estimator : estimator with ``partial_fit``
        Cloned, never changed.
    fit_params : mapping
        For every call of ``partial_fit``.
    scorer : callable
        Of scikit-learn's signature: estimator, X, y.
    error_score : float or "raise"
        The score of a model whose training or scoring raises.
    """

    estimator: Any
    fit_params: Mapping[str, Any]
    scorer: Callable[..., float]
    error_score: Any = math.nan

    @property
    def raises(self) -> bool:
        return isinstance(self.error_score, str)


class TrainedModel(NamedTuple):
    """Model after ``calls``, and their seconds; ``error`` is the traceback of the last, if it failed."""

    model: Any
    calls: int = 0
    seconds: float = 0.0
    error: str | None = None


class ModelScore(NamedTuple):
    """Score of a model after ``calls``, which took so many ``seconds`` in all; None where it was not due.

    ``error`` is the traceback of a call that failed, its last, or of its scoring.
    """

    model: Any
    calls: int
    seconds: float
    score: float | None = None
    score_time: float = 0.0
    error: str | None = None


def initial_model(spec: TrainingSpec, candidate: Candidate) -> TrainedModel:
    """Return the candidate's model before its first call; parameters that are estimators are cloned."""
    return TrainedModel(with_params(spec.estimator, candidate.params))


def block_order(seed: Sequence[int], n_blocks: int, start: int, stop: int) -> Iterator[int]:
    """Yield the numbers of the blocks that calls ``start .. stop - 1`` of a model visit.

    Each time around, all blocks are visited in another random order.

    Examples
    --------
    >>> sorted(block_order((7, 0), 3, 3, 6))
    [0, 1, 2]
    """
    for call in range(start, stop):
        epoch, position = divmod(call, n_blocks)
        if position == 0 or call == start:
            order = np.random.default_rng((*seed, epoch)).permutation(n_blocks)
        yield int(order[position])


def partial_fit_step(trained: TrainedModel, parts: Parts, fit_params: Mapping[str, Any], raises: bool) -> TrainedModel:
    """Train a model, which is changed, by one call of ``partial_fit``; of one that fails nothing but the error is kept.

    What it raises is raised only if that is asked for.
    """
    started = time.perf_counter()
    try:
        if n_rows(parts[0]):  # scikit-learn refuses to train on no rows
            with computing(), hidden("partial_fit"):
                trained.model.partial_fit(*parts, **fit_params)
    except Exception as error:
        error.add_note(f"in partial_fit of {trained.model!r}")
        if raises:
            raise
        return TrainedModel(None, trained.calls + 1, trained.seconds, format_exc())
    return trained._replace(calls=trained.calls + 1, seconds=trained.seconds + time.perf_counter() - started)


def score_model(name: Any, trained: TrainedModel, test: Parts, spec: TrainingSpec) -> ModelScore:
    """Score a model on held-out rows.

    Where it has failed, or its scoring does, the score is the ``error_score``, unless that is "raise".
    """
    failed = ModelScore(name, trained.calls, trained.seconds, spec.error_score, 0.0, trained.error)
    if trained.error is not None:
        return failed
    started = time.perf_counter()
    try:
        with computing():
            score: Any = spec.scorer(trained.model, *test)
        if not np.isscalar(score):
            raise ValueError(f"scoring: expected one number to compare models by, got {score!r}")
    except Exception:
        if spec.raises:
            raise
        return failed._replace(error=format_exc())
    return failed._replace(score=float(score), score_time=time.perf_counter() - started)  # type: ignore[arg-type]


class ModelPool(ABC):
    """Pool in which models are trained: on threads of this process, or on the workers of a cluster.

    Parameters
    ----------
    pool : WorkerPool
    slots : int
        Number of models that can be in training without waiting for each other.
    spec : TrainingSpec
    candidates : mapping of models to Candidate
    """

    def __init__(self, pool: Any, slots: int, spec: TrainingSpec, candidates: Mapping[Any, Candidate]) -> None:
        self._pool, self.slots, self._spec, self._candidates = pool, slots, spec, candidates

    @abstractmethod
    def start(self, model: Any, calls: int) -> None:
        """Begin to train a model until it has had ``calls`` in all."""

    @abstractmethod
    def next(self) -> ModelScore:
        """Wait for the next model that is trained and scored, or has failed; raise an error that ends the search."""

    @abstractmethod
    def trained(self, model: Any) -> Any:
        """Return a model as it was when it was scored last."""

    def close(self) -> None:
        """Cancel the training of models that has not ended."""
        self._pool.close()


def run_policy(policy: Policy, pool: ModelPool, record_score: Callable[[ModelScore], Record]) -> None:
    """Train models as ``policy`` says, until it ends.

    Of a model that has failed the policy is told that its score is not a number, whatever is recorded, and so again
    without any training where it has another budget for it.

    Parameters
    ----------
    policy : Policy
    pool : ModelPool
    record_score : callable
        Takes each score as it comes, and returns the record of it for the policy.
    """
    budgets = deque(next(policy, []))
    running: dict[Any, int] = {}
    failed: set[Any] = set()
    while budgets or running:
        if not budgets:
            score = pool.next()
            target, record = running.pop(score.model), record_score(score)
            if score.error is not None:
                failed.add(score.model)
                record = _failure(score.model, target)
            budgets.extend(tell(policy, record))
            continue
        budget = budgets.popleft()
        if budget.model in failed:
            budgets.extend(tell(policy, _failure(*budget)))
        else:
            pool.start(budget.model, budget.calls)
            running[budget.model] = budget.calls


def _failure(model: Any, calls: int) -> Record:
    return {"model_id": model, "partial_fit_calls": calls, "score": math.nan}
