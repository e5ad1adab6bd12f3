"""Candidates fitted and scored on one fold in memory, one after another."""

from __future__ import annotations

import numbers
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from traceback import format_exc
from typing import Any, NamedTuple

from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.metrics import check_scoring
from threadpoolctl import ThreadpoolController

from daskml_kit.engines.runtime import computing
from daskml_kit.model_selection.search.cv_results import Outcome, with_params
from daskml_kit.model_selection.search.fold import Fold
from daskml_kit.model_selection.search.pipeline_cache import (
    TransformerCache,
    cache_transformers,
    is_cacheable,
    restore_transformers,
    writable_copy,
)
from daskml_kit.model_selection.search.scoring import SINGLE


class FitSpec(NamedTuple):
    """Settings of the fits and scores of all candidates; the names are those of scikit-learn's ``cross_validate``."""

    estimator: Any
    scorers: Mapping[str, Callable[..., Any]]
    return_train_score: bool = False
    error_score: Any = float("nan")
    return_estimator: bool = False
    config: Mapping[str, Any] = get_config()  # scikit-learn's settings belong to a thread

    @property
    def raises(self) -> bool:
        return isinstance(self.error_score, str)


class BatchReport(NamedTuple):
    """Outcomes of a batch of candidates; ``shared`` of its ``seconds`` went into transformers that others may use."""

    outcomes: list[tuple[int, Outcome]]
    seconds: float
    shared: float
    warnings: list[str]


def fit_candidates(
    spec: FitSpec,
    fold: Fold,
    cache: TransformerCache,
    candidates: Sequence[tuple[int, Mapping[str, Any]]],
    stopped: threading.Event | None = None,
) -> BatchReport:
    """Fit and score numbered candidates; of those left when ``stopped`` is set there are no outcomes."""
    started, outcomes, shared = time.perf_counter(), [], 0.0
    warned: list[str] = []
    cache.take_seconds()
    with config_context(**spec.config), computing(), one_openmp_thread():
        for number, params in candidates:
            if stopped is not None and stopped.is_set():
                break
            outcomes.append((number, _outcome(spec, fold, cache, params, warned)))
            shared += cache.take_seconds()
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
    spec: FitSpec,
    fold: Fold,
    estimator: Any,
    fit: Callable[[], tuple[Any, Fold]],
    score_side: Callable[[Any, Fold, int], dict[str, float]],
) -> Outcome:
    """Time the fit of a candidate and its scores; a fit that fails has none.

    Parameters
    ----------
    spec : FitSpec
    fold : Fold
    estimator : estimator
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
        kept = estimator if spec.return_estimator else None
        return Outcome({}, None, time.perf_counter() - started, 0.0, fold.n_test, format_exc(), kept)
    fit_time, started = time.perf_counter() - started, time.perf_counter()
    test = score_side(fitted, fold, 1)
    score_time = time.perf_counter() - started
    train = score_side(fitted, fold, 0) if spec.return_train_score else None
    kept = restore_transformers(fitted) if spec.return_estimator else None
    return Outcome(test, train, fit_time, score_time, fold.n_test, None, kept)


def _outcome(
    spec: FitSpec, fold: Fold, cache: TransformerCache, params: Mapping[str, Any], warned: list[str]
) -> Outcome:
    estimator = with_params(spec.estimator, params)

    def score_side(fitted: Any, fold: Fold, side: int) -> dict[str, float]:
        return score(spec, fitted, fold.X[side], fold.side("y", side), fold.score_params(side), warned)

    return outcome_of(spec, fold, estimator, lambda: _fitted(estimator, fold, cache), score_side)


def _fitted(estimator: Any, fold: Fold, cache: TransformerCache) -> tuple[Any, Fold]:
    """Return the fitted estimator, and the fold that it was fitted on.

    Candidates share the arrays that they are given; an estimator that writes to them gets a copy of its own.
    """
    protected = fold.protected(cache)
    fit_params, y = protected.fit_params, protected.side("y", 0)
    try:
        shared = cache_transformers(estimator, cache, "fold") if is_cacheable(estimator) else estimator
        return _fit(shared, protected.X[0], y, fit_params), protected
    except ValueError as error:
        if "read-only" not in str(error):
            raise
    mine = Fold(
        {name: (writable_copy(train), writable_copy(test)) for name, (train, test) in fold.sides.items()},
        fold.constants,
    )
    return _fit(clone(estimator), mine.X[0], mine.side("y", 0), mine.fit_params), mine


def _fit(estimator: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
    fitted = estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)
    return estimator if fitted is None else fitted


def score(spec: FitSpec, fitted: Any, X: Any, y: Any, params: Mapping[str, Any], warned: list[str]) -> dict[str, float]:
    """Return each scorer's score; one that fails gives ``error_score``, unless that is "raise"."""
    found = _raw_scores(spec, fitted, (X,) if y is None else (X, y), params, warned)
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
    spec: FitSpec, fitted: Any, given: tuple[Any, ...], params: Mapping[str, Any], warned: list[str]
) -> Mapping[str, Any]:
    """Return the scores by name, or tracebacks; a single scorer may itself return a dict of scores."""
    if list(spec.scorers) != [SINGLE]:
        scorers = check_scoring(fitted, scoring=dict(spec.scorers), raise_exc=spec.raises)
        return scorers(fitted, *given, **params)  # type: ignore[no-any-return]
    scorer = spec.scorers[SINGLE]
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
