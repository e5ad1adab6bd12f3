"""All candidates on all splits in the passes of a few fits."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from daskml_kit.data.collections import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.fibre import Returned
from daskml_kit.engines.indicating import IndicatingEngine
from daskml_kit.engines.lockstep import Fit, Lockstep
from daskml_kit.engines.open import open_engine
from daskml_kit.engines.side import Side
from daskml_kit.linear_model.base import position_of
from daskml_kit.model_selection.search.cv_results import Outcome
from daskml_kit.model_selection.search.fused_scores import Place, scores_of, settled
from daskml_kit.model_selection.search.pipelines import Unshared, fit_given, last_step, parts_of
from daskml_kit.model_selection.search.scoring import fused_scorer
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.numerics.missing import NO_GAPS, Gaps
from daskml_kit.reductions.missing_counts import gaps_of
from daskml_kit.reductions.moments import Moments
from daskml_kit.reductions.summary import Summary
from daskml_kit.typing import Labels

CANDIDATES_AT_ONCE = 50
"""The fits on all rows of so many are kept, to start those on folds from."""


class Fused(NamedTuple):
    """What came of each candidate on each split, the models of all rows, by candidate, and those left out, and why."""

    outcomes: dict[Place, Outcome]
    whole: dict[int, Any]
    passes: int
    unshared: dict[int, str]


def why_not(estimator: Any, scoring: Mapping[str, Any], fit_params: Mapping[str, Any]) -> str | None:
    """Return why fits of ``estimator`` cannot share passes; None where they can."""
    parts = parts_of(estimator)
    if isinstance(parts, str):
        return parts
    strange = [name for name, scorer in scoring.items() if fused_scorer(scorer, estimator) is None]
    if strange:
        return f"scoring {', '.join(strange)} is not made of sums over blocks"
    taken = () if isinstance(estimator, Pipeline) else ("sample_weight",)
    others = [name for name, value in fit_params.items() if name not in taken and value is not None]
    return f"fit takes {', '.join(others)} too" if others else None


def run_fused(
    estimator: Any,
    candidates: Sequence[Mapping[str, Any]],
    X: Any,
    y: Any,
    folds: Folds,
    scoring: Mapping[str, Any],
    *,
    sample_weight: Any = None,
    return_train_score: bool = False,
    n_jobs: int | None = None,
    error_score: Any = np.nan,
    weighted_scores: bool = False,
) -> Fused:
    """Fit every candidate on all rows, then from there on each split's training rows, in lock step; score all at once.

    The gradients of all fits at their own coefficients are one matrix product a tile of rows; rows that a fit leaves
    out are set to zero there. X is not copied.
    """
    X = X if hasattr(X, "shape") else np.asarray(X)
    y = y if y is None or hasattr(y, "dtype") or hasattr(y, "dtypes") else np.asarray(y)
    like = _like(X), (None if y is None else _target_like(y)), (None if sample_weight is None else da.ones(1))
    with open_engine(_matrix(X), y, sample_weight, n_jobs=n_jobs, fold=_ids(folds)) as engine:
        labels = _encode(engine, y) if is_classifier(estimator) else None
        n_ids = [_n_ids(folds, column) for column in range(len(folds.ids))]
        steps = Lockstep(engine, n_ids, weighted=sample_weight is not None)
        started = time.perf_counter()
        gaps = gaps_of(steps.answer(Moments())) if _imputes(estimator, candidates) else NO_GAPS
        if len(gaps.columns):
            steps.engine = IndicatingEngine(engine, gaps)
        sides = [steps.side(split.column, split.train) for split in folds.splits]
        whole, fitted = _fit_all(steps, partial(_fit, estimator, like, gaps, labels), candidates, sides)
        errors = [news.error for news in fitted.values() if news.error is not None]
        if errors and error_score == "raise":
            raise errors[0]
        middle = time.perf_counter()
        models = {place: news.value for place, news in fitted.items() if news.error is None}
        score = partial(scores_of, steps, folds, models, scoring, weighted_scores)
        scores = settled(score("test"), error_score)
        train = settled(score("train"), error_score) if return_train_score else {}
        ended = time.perf_counter()
        passes = engine.profile.passes
    share = (middle - started) / max(len(fitted), 1), (ended - middle) / max(len(fitted), 1)
    outcomes = {}
    for place, news in fitted.items():
        if news.error is None:
            outcomes[place] = Outcome(scores[place], train.get(place), *share, estimator=news.value)
        else:
            outcomes[place] = Outcome({}, None, *share, error="".join(traceback.format_exception(news.error)))
    models_of_all = {c: news.value for c, news in whole.items() if news.error is None}
    for model in (*models.values(), *models_of_all.values()):
        if labels is not None:
            last_step(model).classes_ = labels[last_step(model).classes_]
    unshared = {c: str(news.error) for c, news in whole.items() if isinstance(news.error, Unshared)}
    return Fused(outcomes, models_of_all, passes, unshared)


def _fit_all(
    steps: Lockstep,
    fit: Callable[[Mapping[str, Any]], Any],
    candidates: Sequence[Mapping[str, Any]],
    sides: Sequence[Side],
) -> tuple[dict[int, Returned], dict[Place, Returned]]:
    """Fit the candidates, some at a time, on all rows, and from there on each side, those that can share passes."""
    whole: dict[int, Returned] = {}
    fitted: dict[Place, Returned] = {}
    for start in range(0, len(candidates), CANDIDATES_AT_ONCE):
        some = dict(enumerate(candidates[start : start + CANDIDATES_AT_ONCE], start))
        known: dict[int, dict[Hashable, Any]] = {c: {} for c in some}
        whole |= steps.run({c: Fit(partial(fit, params), None, known[c]) for c, params in some.items()})
        fitted |= steps.run(
            {
                (c, s): Fit(partial(fit, params), side, dict(known[c]))
                for c, params in some.items()
                if not isinstance(whole[c].error, Unshared)
                for s, side in enumerate(sides)
            }
        )
    return whole, fitted


def _imputes(estimator: Any, candidates: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some candidate imputes before its model."""
    if not isinstance(estimator, Pipeline):
        return False
    parts = (parts_of(_with(estimator, params)) for params in candidates)
    return any(not isinstance(part, str) and part.imputer is not None for part in parts)


def _with(estimator: Any, params: Mapping[str, Any]) -> Any:
    return clone(estimator).set_params(**{name: clone(value, safe=False) for name, value in params.items()})


def _fit(
    estimator: Any, like: tuple[Any, Any, Any], gaps: Gaps, labels: Labels | None, params: Mapping[str, Any]
) -> Any:
    X, y, weight = like
    model = _with(estimator, params)
    given = [part for part in (y, weight) if part is not None]
    last = last_step(model)
    weights = getattr(last, "class_weight", None)
    if labels is None or not isinstance(weights, Mapping):
        return fit_given(model, gaps, X, *given)
    codes = {label: code for code, label in enumerate(labels.tolist())}
    last.class_weight = {codes.get(label, ("unknown", label)): weight for label, weight in weights.items()}
    fit_given(model, gaps, X, *given)
    last.class_weight = weights
    return model


def _encode(engine: Engine, y: Any) -> Labels | None:
    """Make labels that are not numbers their positions among the sorted labels, and return these."""
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return None
    labels: Labels = engine.answer(Summary(True))[0].labels
    engine.relabel(partial(position_of, labels))
    return labels


def _ids(folds: Folds) -> Any:
    if not is_dask(folds.ids[0]):
        return np.column_stack(folds.ids)
    return da.stack(folds.ids, axis=1).rechunk({1: -1}) if len(folds.ids) > 1 else folds.ids[0][:, None]


def _n_ids(folds: Folds, column: int) -> int:
    ids = folds.ids[column]
    if not is_dask(ids):
        return int(ids.max()) + 1
    used = max(max(split.train + split.test) for split in folds.splits if split.column == column)
    return used + 2  # there may be rows of neither side


def _like(X: Any) -> Any:
    """Return an X of Dask as wide as this and named as this, that no one reads."""
    if is_dask(X):
        return X
    if isinstance(X, pd.DataFrame):
        return dd.from_pandas(X.iloc[:1], npartitions=1)
    rows = da.zeros(X.shape, dtype=X.dtype, chunks=(-1, -1))
    return rows.map_blocks(sp.csr_array, meta=sp.csr_array((0, 0), dtype=X.dtype)) if sp.issparse(X) else rows


def _target_like(y: Any) -> Any:
    shape = (1,) if len(np.shape(y) if not is_dask(y) else y.shape) == 1 else (1, y.shape[1])
    return da.zeros(shape, dtype=np.float64)


def _matrix(X: Any) -> Any:
    return X.to_numpy() if isinstance(X, pd.DataFrame) else X
