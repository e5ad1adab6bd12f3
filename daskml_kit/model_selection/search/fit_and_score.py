"""Candidates fitted and scored on one fold in memory, one after another."""

from __future__ import annotations

import numbers
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from traceback import format_exc
from typing import Any, NamedTuple, TypeAlias

from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import check_scoring
from threadpoolctl import ThreadpoolController

from daskml_kit.activity import hidden
from daskml_kit.engines.runtime import computing
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fold import Fold
from daskml_kit.model_selection.search.pipeline_cache import (
    cache_transformers,
    is_cacheable,
    restore_transformers,
    writable_copy,
)
from daskml_kit.model_selection.search.scoring import SINGLE
from daskml_kit.model_selection.search.search_plan import EvaluationSpec, with_params
from daskml_kit.typing import Array

Numbered: TypeAlias = tuple[int, Mapping[str, Any]]
"""The number of a candidate, and its parameters."""


class FitBatch(NamedTuple):
    """Batch of candidates of one split, of a group in the work queue, fitted by one worker one after another."""

    split: int
    group: Any
    numbers: Array


class BatchReport(NamedTuple):
    """Outcomes of a batch of candidates; ``shared`` of its ``seconds`` went into transformers that others may use."""

    outcomes: list[tuple[int, Outcome]]
    seconds: float
    shared: float
    warnings: list[str]


def fit_candidates(
    spec: EvaluationSpec, fold: Fold, candidates: Sequence[Numbered], stopped: threading.Event | None = None
) -> BatchReport:
    """Fit and score numbered candidates; of those left when ``stopped`` is set there are no outcomes."""
    started, outcomes, shared = time.perf_counter(), [], 0.0
    warned: list[str] = []
    fold.cache.take_seconds()
    with config_context(**spec.config), computing(), one_openmp_thread(), hidden("fits"):
        for number, params in candidates:
            if stopped is not None and stopped.is_set():
                break
            outcomes.append((number, _outcome(spec, fold, params, warned)))
            shared += fold.cache.take_seconds()
    return BatchReport(outcomes, time.perf_counter() - started, shared, warned)


@contextmanager
def one_openmp_thread() -> Iterator[None]:
    """Limit OpenMP to one thread in regions that this thread opens, while inside."""
    with _controller(len(sys.modules)).limit(limits=1, user_api="openmp"):
        yield


@lru_cache(1)
def _controller(n_modules: int) -> ThreadpoolController:
    return ThreadpoolController()  # costs milliseconds: looked for anew only where something was imported


def outcome_of(
    spec: EvaluationSpec, fold: Fold, model: Any, fit: Callable[[], tuple[Any, Fold]], score_side: Callable[..., Any]
) -> Outcome:
    """Time the fit of a candidate and its scores; a fit that fails has none.

    Parameters
    ----------
    spec : EvaluationSpec
    fold : Fold
    model : estimator
        Not fitted.
    fit : callable
        Returns the fitted estimator, and the fold that it was fitted on.
    score_side : callable
        Is called with these two, and 1 for the scores on test rows or 0 for those on training rows.
    """
    started = time.perf_counter()
    try:
        fitted, fold = fit()
    except Exception:
        if spec.raises:
            raise
        kept = model if spec.with_models else None
        return Outcome({}, None, time.perf_counter() - started, 0.0, fold.n_test, format_exc(), kept)
    fit_time, started = time.perf_counter() - started, time.perf_counter()
    test = score_side(fitted, fold, 1)
    score_time = time.perf_counter() - started
    train = score_side(fitted, fold, 0) if spec.with_train else None
    kept = restore_transformers(fitted) if spec.with_models else None
    return Outcome(test, train, fit_time, score_time, fold.n_test, None, kept)


def _outcome(spec: EvaluationSpec, fold: Fold, params: Mapping[str, Any], warned: list[str]) -> Outcome:
    estimator = with_params(spec.estimator, params)
    return outcome_of(spec, fold, estimator, lambda: _fitted(estimator, fold), partial(score, spec, warned))


def _fitted(estimator: Any, fold: Fold) -> tuple[Any, Fold]:
    """Return the fitted estimator, and the fold that it was fitted on.

    Candidates share the arrays that they are given; an estimator that writes to them gets a copy of its own.
    """
    protected = fold.protected()
    fit_params, y = protected.fit_params, protected.side("y", 0)
    try:
        shared = cache_transformers(estimator, fold.cache, "fold") if is_cacheable(estimator) else estimator
        return fit_estimator(shared, protected.X[0], y, **fit_params), protected
    except ValueError as error:
        if "read-only" not in str(error):
            raise
    mine = Fold(
        {name: (writable_copy(train), writable_copy(test)) for name, (train, test) in fold.sides.items()},
        fold.constants,
    )
    return fit_estimator(clone(estimator), mine.X[0], mine.side("y", 0), **mine.fit_params), mine


def fit_estimator(estimator: Any, X: Any, y: Any = None, **params: Any) -> Any:
    """Return the fitted estimator, also of packages whose ``fit`` returns nothing."""
    fitted = estimator.fit(X, **params) if y is None else estimator.fit(X, y, **params)
    return estimator if fitted is None else fitted


def score(spec: EvaluationSpec, warned: list[str], fitted: Any, fold: Fold, side: int) -> dict[str, float]:
    """Return each scorer's score on training rows (0) or test rows (1); one that fails gives ``error_score``.

    It raises if that is "raise".
    """
    y = fold.side("y", side)
    given = (fold.X[side],) if y is None else (fold.X[side], y)
    found = _raw_scores(spec, fitted, given, fold.score_params(side), warned)
    scores = {}
    for name, value in found.items():
        if isinstance(value, str):  # the traceback of a scorer that failed
            warned.append(
                "Scoring failed. The score on this train-test partition for these parameters will be set to "
                f"{spec.error_score}. Details: \n{value}"
            )
            value = spec.error_score
        scores[name] = _number(name, value)
    return scores


def _raw_scores(
    spec: EvaluationSpec, fitted: Any, given: tuple[Any, ...], params: Mapping[str, Any], warned: list[str]
) -> Mapping[str, Any]:
    """Return the scores by name, or tracebacks; a single scorer may itself return a dict of scores."""
    if not spec.scoring:
        return {}
    if list(spec.scoring) != [SINGLE]:
        scorers = check_scoring(fitted, scoring=dict(spec.scoring), raise_exc=spec.raises)
        return scorers(fitted, *given, **params)  # type: ignore[no-any-return]
    scorer = spec.scoring[SINGLE]
    try:
        value = scorer(fitted, *given, **params)
    except Exception as error:
        if isinstance(error, TypeError) and "sample_weight" in params and "sample_weight" in str(error):
            warned.append(
                f"The scoring {scorer} does not support sample_weight, which may lead to statistically incorrect "
                "results when fitting with sample_weight."
            )
            unweighted = {name: part for name, part in params.items() if name != "sample_weight"}
            return _raw_scores(spec, fitted, given, unweighted, warned)
        if spec.raises:
            raise
        value = format_exc()
    return value if isinstance(value, Mapping) else {SINGLE: value}


def _number(name: str, value: Any) -> float:
    if hasattr(value, "item"):
        value = value.item() if getattr(value, "size", 1) == 1 else value
    if not isinstance(value, numbers.Number):
        raise ValueError(f"scoring must return a number, got {value} ({type(value)}) instead. (scorer={name})")
    return value  # type: ignore[return-value]
