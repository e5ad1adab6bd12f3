"""The methods of the best estimator of a search, on data in memory and lazily on Dask."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import dask
import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from daskml_kit.base import DaskEstimator
from daskml_kit.blockwise import map_rows
from daskml_kit.composition import unnamed
from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask, join
from daskml_kit.engines.open import open_engine
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.search.fit_and_score import fit_estimator
from daskml_kit.model_selection.search.fused_scores import ModelScores, ScoredModel
from daskml_kit.model_selection.search.pipelines import parts_of
from daskml_kit.model_selection.search.scoring import SINGLE, MissingScore, finalize_score, fused_scorer, scorers_of
from daskml_kit.model_selection.search.slivers import fit_on_dask
from daskml_kit.model_selection.search.task_search import ComputedPredictions, is_distributed
from daskml_kit.model_selection.splits.folds import compute_tasks
from daskml_kit.validation import check_features, like, plain_strings


def best_estimator_method(method: str, meta: str | None = None) -> Any:
    """Return a method of a search that is that of its best estimator, and is there where this has it.

    Parameters
    ----------
    method : str
        One of those of `DaskEstimator`, whose docstring it has.
    meta : str, optional
        The attribute of searches that gives the type of the result on Dask input, if it is not None.
    """

    def apply(self: Any, X: Any) -> Any:
        check_is_fitted(self)
        known = getattr(self, meta, None) if meta else None
        if known is not None and not (hasattr(known, "dtype") or hasattr(known, "dtypes")):
            raise TypeError(f"{meta}: expected an array or a data frame without rows, got {known!r}")
        return apply_lazily(self.best_estimator_, method, X, known)

    def has(search: Any) -> bool:
        check_refitted(search, method)
        getattr(getattr(search, "best_estimator_", search.estimator), method)  # raises the estimator's own error
        return True

    apply.__name__, apply.__doc__ = method, vars(DaskEstimator)[method].__doc__
    return available_if(has)(apply)


class BestEstimatorMethods:
    """Mixin of searches: the methods of the best estimator, lazily on Dask input."""

    predict = best_estimator_method("predict", "predict_meta")
    predict_proba = best_estimator_method("predict_proba", "predict_proba_meta")
    predict_log_proba = best_estimator_method("predict_log_proba", "predict_proba_meta")
    decision_function = best_estimator_method("decision_function")
    score_samples = best_estimator_method("score_samples")
    transform = best_estimator_method("transform", "transform_meta")
    inverse_transform = best_estimator_method("inverse_transform")


def check_refitted(search: Any, method: str) -> None:
    """Raise where the search keeps no best estimator."""
    if not getattr(search, "refit", True):
        raise AttributeError(
            f"This {type(search).__name__} instance was initialized with `refit=False`. {method} is available only "
            "after refitting on the best parameters: set refit, or fit an estimator with the best_params_"
        )


def apply_lazily(model: Any, method: str, X: Any, meta: Any = None) -> Any:
    """Return ``model.method(X)``: on Dask input a lazy collection, each block a call; ``meta`` is its type, if known.

    Raises
    ------
    DataError
        Where X has other features than the model, or what comes out cannot be told without computing.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> scaler = MinMaxScaler().fit([[0.0], [4.0]])
    >>> apply_lazily(scaler, "transform", da.from_array([[1.0], [2.0]], chunks=1)).compute().tolist()
    [[0.25], [0.5]]
    """
    if not is_dask(X) or is_distributed(model):
        return getattr(model, method)(X)
    X = plain_strings(X)
    if hasattr(model, "n_features_in_") and method != "inverse_transform":
        check_features(model, X)
    return map_rows(model, method, X, empty_result(model, method, X) if meta is None else meta)


def empty_result(model: Any, method: str, X: Any) -> Any:
    """Return the result for no rows: of made-up ones, or where the model refuses these by the classes it knows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(model, method)(like(None, X))[:0]
    except (TypeError, ValueError) as error:
        classes = getattr(model, "classes_", None)
        if method == "predict":
            return np.empty(0, np.float64 if classes is None else classes.dtype)
        if classes is None:
            raise DataError(f"{method}: what comes of these columns is not known before rows are: {error}") from error
        decides = method == "decision_function" and len(classes) == 2
        return np.empty(0 if decides else (0, len(classes)))


def refit_on_all(estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    """Fit ``estimator``; one that takes no Dask collections to the joined blocks, on a worker if there is a cluster."""
    if is_distributed(estimator):
        return fit_on_dask(estimator, X, y, **params)
    given = {"X": X, "y": y, **params}
    lazy = {name: value for name, value in given.items() if is_dask(value)}
    rest = {name: value for name, value in given.items() if name not in lazy}
    return _call_joined(partial(fit_estimator, estimator), lazy, rest)


def score_on(estimator: Any, X: Any, y: Any, scoring: Any) -> float:
    """Return the score of a fitted estimator on Dask collections."""
    if scoring is None and isinstance(estimator, DaskEstimator):
        return float(estimator.score(X, y))
    fused = None if isinstance(parts_of(estimator), str) else fused_scorer(scoring, estimator)
    if fused is None:
        scorer = scorers_of(estimator, {SINGLE: scoring})[SINGLE]
        if is_distributed(estimator) and not hasattr(estimator, "to_sklearn"):
            return float(scorer(ComputedPredictions(estimator, y), X, *dask.compute(*([] if y is None else [y]))))
        bare = estimator.to_sklearn() if hasattr(estimator, "to_sklearn") else estimator
        return score_joined(scorer, bare, X, y)
    with open_engine(X, y, many_passes=False) as engine:
        (answers,) = engine.answer(ModelScores([ScoredModel(unnamed(estimator))], {SINGLE: fused}))
    found = finalize_score(fused, answers[0][SINGLE], getattr(estimator, "classes_", None))
    if isinstance(found, MissingScore):
        raise DataError(f"score: {found.reason}")
    return found


def score_joined(scorer: Any, estimator: Any, X: Any, y: Any) -> float:
    """Return the score of a fitted estimator; on Dask input the blocks are joined, on a worker if there is one."""
    given = {name: part for name, part in (("X", X), ("y", y)) if part is not None}
    return float(_call_joined(partial(_score, scorer, estimator), given, {}))


def _score(scorer: Any, estimator: Any, X: Any, y: Any = None) -> Any:
    return scorer(estimator, X) if y is None else scorer(estimator, X, y)


def _call_joined(function: Callable[..., Any], rows: Mapping[str, Any], rest: Mapping[str, Any]) -> Any:
    """Call ``function`` by keywords; if any of ``rows`` are on Dask with their blocks joined, where Dask computes."""
    if not any(map(is_dask, rows.values())):
        return function(**rows, **rest)
    parts = {column.name: column.blocks for column in align_rows(rows).columns}
    return compute_tasks([dask.delayed(_join_and_call)(function, parts, rest)])[0]


def _join_and_call(function: Callable[..., Any], parts: Mapping[str, Any], rest: Mapping[str, Any]) -> Any:
    return function(**{name: join(blocks) for name, blocks in parts.items()}, **rest)
