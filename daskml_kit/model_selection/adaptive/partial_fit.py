"""What is done to one model: it visits blocks of rows, one after another, and is scored."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from traceback import format_exc
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from sklearn.base import clone

from daskml_kit.data.collections import n_rows
from daskml_kit.engines.runtime import computing
from daskml_kit.model_selection.adaptive.policies import Policy, Record, tell

Parts: TypeAlias = tuple[Any, ...]
"""Some rows: X, or X and y."""


class Candidate(NamedTuple):
    """A model to train.

    Parameters
    ----------
    params : mapping
        What is set on a clone of the estimator.
    seed : tuple of int
        Decides in which order it visits the blocks.
    bracket : int, optional
        To which of several policies it belongs.
    """

    params: Mapping[str, Any]
    seed: tuple[int, ...]
    bracket: int | None = None


class Lesson(NamedTuple):
    """How models are trained and scored.

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


class Score(NamedTuple):
    """A model was trained until ``calls``, of which those since its last score took ``fit_time`` each on average.

    ``error`` is the traceback of a call that failed, its last, or of its scoring.
    """

    model: Any
    calls: int
    fit_time: float
    score: float
    score_time: float
    error: str | None = None


def beginner(lesson: Lesson, candidate: Candidate) -> Any:
    """Return the candidate's model before its first call; parameters that are estimators are cloned."""
    return clone(lesson.estimator).set_params(**clone(dict(candidate.params), safe=False))


def visiting_order(seed: Sequence[int], n_blocks: int, start: int, stop: int) -> Iterator[int]:
    """Yield the numbers of the blocks that calls ``start .. stop - 1`` of a model visit.

    Each time around, all blocks are visited in another random order.

    Examples
    --------
    >>> sorted(visiting_order((7, 0), 3, 3, 6))
    [0, 1, 2]
    """
    for call in range(start, stop):
        turn, place = divmod(call, n_blocks)
        if place == 0 or call == start:
            order = np.random.default_rng((*seed, turn)).permutation(n_blocks)
        yield int(order[place])


def visit(model: Any, parts: Parts, fit_params: Mapping[str, Any]) -> float:
    """Train ``model`` by one call of ``partial_fit``; return the seconds it took."""
    started = time.perf_counter()
    if n_rows(parts[0]):  # scikit-learn refuses to train on no rows
        try:
            with computing():
                model.partial_fit(*parts, **fit_params)
        except Exception as error:
            error.add_note(f"in partial_fit of {model!r}")
            raise
    return time.perf_counter() - started


def attempt(action: Callable[[], Any], raises: bool) -> tuple[Any, str | None]:
    """Return what ``action`` returns, or else the traceback of what it raises, unless that is to be raised.

    Examples
    --------
    >>> attempt(lambda: 1, raises=False)
    (1, None)
    >>> attempt(lambda: 1 / 0, raises=False)[1].splitlines()[-1]
    'ZeroDivisionError: division by zero'
    """
    try:
        return action(), None
    except Exception:
        if raises:
            raise
        return None, format_exc()


def judge(model: Any, test: Parts, scorer: Callable[..., float]) -> tuple[float, float]:
    """Return the score of ``model``, and the seconds it took.

    Raises
    ------
    ValueError
        Where it is not one number.
    """
    started = time.perf_counter()
    with computing():
        score = scorer(model, *test)
    if not np.isscalar(score):
        raise ValueError(f"scoring: expected one number to compare models by, got {score!r}")
    return float(score), time.perf_counter() - started  # type: ignore[arg-type]


class Bench(Protocol):
    """Where models are trained: threads of this process, or the workers of a cluster."""

    slots: int
    """How many models can be in training without waiting for each other."""

    def start(self, model: Any, calls: int) -> None:
        """Begin to train a model until it has had ``calls`` in all."""

    def finished(self) -> Score:
        """Wait for the next model that is trained and scored, or has failed; raise where that ends the search."""

    def trained(self, model: Any) -> Any:
        """Return a model as it was when it was scored last."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


def carry_out(policy: Policy, bench: Bench, note: Callable[[Score], Record]) -> None:
    """Train models as ``policy`` says, until it ends.

    Of a model that has failed the policy hears that its score is not a number, whatever is noted, and so again without
    any training where it orders more.

    Parameters
    ----------
    policy : Policy
    bench : Bench
    note : callable
        Is given each score as it comes, and returns what the policy is told.
    """
    orders = deque(next(policy, []))
    running: dict[Any, int] = {}
    failed: set[Any] = set()
    while orders or running:
        if not orders:
            score = bench.finished()
            goal, record = running.pop(score.model), note(score)
            if score.error is not None:
                failed.add(score.model)
                record = _failure(score.model, goal)
            orders.extend(tell(policy, record))
            continue
        order = orders.popleft()
        if order.model in failed:
            orders.extend(tell(policy, _failure(*order)))
        else:
            bench.start(order.model, order.calls)
            running[order.model] = order.calls


def _failure(model: Any, calls: int) -> Record:
    return {"model_id": model, "partial_fit_calls": calls, "score": math.nan}
