"""All candidates on all splits in the passes of a few fits."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.engine import Engine
from daskml_kit.engines.lockstep import Fit, Lockstep
from daskml_kit.engines.opening import open_engine
from daskml_kit.linear_model.classifier import position_of
from daskml_kit.model_selection.search.absorbing import SKIPPED, fit_given, last_step, parts_of
from daskml_kit.model_selection.search.judges import JUDGES, SIMPLE, Unscored, finished, judge_of, name_of_judge
from daskml_kit.model_selection.search.judging import Examinee, Judging
from daskml_kit.model_selection.search.linear import Scores, are_plain, gram_scores, linear_scores
from daskml_kit.model_selection.search.outcome import Outcome
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.queries.survey import Survey
from daskml_kit.typing import Labels

Place = tuple[int, int]
"""The number of a candidate, and of a split."""


class Fused(NamedTuple):
    """What came of each candidate on each split, and the models of all rows, by candidate."""

    outcomes: dict[Place, Outcome]
    whole: dict[int, Any]
    passes: int


def why_not(estimator: Any, scoring: Mapping[str, Any], fit_params: Mapping[str, Any]) -> str | None:
    """Return why fits of ``estimator`` cannot share passes; None where they can."""
    parts = parts_of(estimator)
    if isinstance(parts, str):
        return parts
    strange = [name for name, scorer in scoring.items() if judge_of(scorer, estimator) is None]
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
        known: list[dict[Hashable, Any]] = [{} for _ in candidates]
        fit = partial(_fit, estimator, like, labels)
        started = time.perf_counter()
        whole = steps.run({c: Fit(partial(fit, params), None, known[c]) for c, params in enumerate(candidates)})
        sides = [steps.side(split.column, split.train) for split in folds.splits]
        fits = {
            (c, s): Fit(partial(fit, params), side, dict(known[c]))
            for s, side in enumerate(sides)
            for c, params in enumerate(candidates)
        }
        fitted = steps.run(fits)
        errors = [news.error for news in fitted.values() if news.error is not None]
        if errors and error_score == "raise":
            raise errors[0]
        middle = time.perf_counter()
        models = {place: news.value for place, news in fitted.items() if news.error is None}
        score = partial(_scores, engine, steps, folds, models, scoring, weighted_scores)
        scores = _settled(score("test"), error_score)
        train = _settled(score("train"), error_score) if return_train_score else {}
        ended = time.perf_counter()
        passes = engine.profile.passes
    share = (middle - started) / len(fits), (ended - middle) / len(fits)
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
    return Fused(outcomes, models_of_all, passes)


def _fit(estimator: Any, like: tuple[Any, Any, Any], labels: Labels | None, params: Mapping[str, Any]) -> Any:
    X, y, weight = like
    model = clone(estimator).set_params(**{name: clone(value, safe=False) for name, value in params.items()})
    given = [part for part in (y, weight) if part is not None]
    last = last_step(model)
    weights = getattr(last, "class_weight", None)
    if labels is None or not isinstance(weights, Mapping):
        return fit_given(model, X, *given)
    codes = {label: code for code, label in enumerate(labels.tolist())}
    last.class_weight = {codes.get(label, ("unknown", label)): weight for label, weight in weights.items()}
    fit_given(model, X, *given)
    last.class_weight = weights
    return model


def _scores(
    engine: Engine,
    steps: Lockstep,
    folds: Folds,
    models: Mapping[Place, Any],
    scoring: Mapping[str, Any],
    weighted: bool,
    side: str,
) -> dict[Place, Scores]:
    if not models:
        return {}
    fitted = list(models.values())
    splits = [folds.splits[s] for _, s in models]
    sides = [steps.side(split.column, getattr(split, side)) for split in splits]
    names = {name: name_of_judge(scorer, fitted[0]) for name, scorer in scoring.items()}
    if are_plain(fitted) and set(names.values()) <= SIMPLE:
        wanted = list(names.values())
        found = gram_scores(steps, fitted, sides, wanted) if weighted or not steps.weighted else None
        if found is None:
            found = linear_scores(engine, fitted, sides, wanted, weighted)
        return {p: {name: own[known] for name, known in names.items()} for p, own in zip(models, found, strict=True)}
    judges = {name: JUDGES[known] for name, known in names.items()}
    examinees = [Examinee(plain(model), side) for model, side in zip(fitted, sides, strict=True)]
    (answers,) = engine.answer(Judging(examinees, judges, weighted))
    return {
        place: {name: finished(judge, answer[name], None) for name, judge in judges.items()}
        for place, answer in zip(models, answers, strict=True)
    }


def _settled(found: Mapping[Place, Scores], error_score: Any) -> dict[Place, dict[str, float]]:
    """Return the scores, ``error_score`` where there is none, and warn of it."""
    reasons = dict.fromkeys(s.reason for own in found.values() for s in own.values() if isinstance(s, Unscored))
    for reason in reasons:
        if error_score == "raise":
            raise ValueError(f"Scoring failed: {reason}")
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to "
            f"{error_score}. Details: {reason}",
            UserWarning,
            stacklevel=5,
        )
    return {
        place: {name: error_score if isinstance(s, Unscored) else s for name, s in own.items()}
        for place, own in found.items()
    }


def plain(model: Any) -> Any:
    """Return the scikit-learn twin, which takes rows without names."""
    if isinstance(model, Pipeline):
        return Pipeline([(name, step if step in SKIPPED else plain(step)) for name, step in model.steps])
    twin = model.to_sklearn() if hasattr(model, "to_sklearn") else copy(model)
    if hasattr(twin, "feature_names_in_"):
        del twin.feature_names_in_
    return twin


def _encode(engine: Engine, y: Any) -> Labels | None:
    """Make labels that are not numbers their positions among the sorted labels, and return these."""
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return None
    labels: Labels = engine.answer(Survey(True))[0].labels
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
    return da.zeros(X.shape, dtype=X.dtype, chunks=(-1, -1))


def _target_like(y: Any) -> Any:
    shape = (1,) if len(np.shape(y) if not is_dask(y) else y.shape) == 1 else (1, y.shape[1])
    return da.zeros(shape, dtype=np.float64)


def _matrix(X: Any) -> Any:
    return X.to_numpy() if isinstance(X, pd.DataFrame) else X
