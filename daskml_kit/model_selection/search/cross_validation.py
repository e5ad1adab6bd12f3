"""Cross-validation of one estimator, and curves over a parameter or the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from sklearn.utils import check_random_state

from daskml_kit.data.align import align_rows, check_lengths, collect
from daskml_kit.data.collections import is_dask
from daskml_kit.data.indexing import take
from daskml_kit.model_selection.search.cv import folds_of
from daskml_kit.model_selection.search.evaluate import Evaluation, EvaluationSpec, evaluate
from daskml_kit.model_selection.search.scoring import SINGLE, named_scoring
from daskml_kit.model_selection.splits.folds import Folds, Split
from daskml_kit.typing import Array


def nested_training_folds(
    folds: Folds, sizes_for: Callable[[int], Sequence[int]], shuffle: bool, random_state: Any
) -> tuple[list[int], Folds]:
    """Return sizes, and for each split one split a size, of the first so many training rows.

    Each split has a column: the ids of training rows are the steps by which they join, then come the test rows' id and
    that of rows that never join.
    """
    columns = dask.compute(list(folds.ids))[0]
    draw = check_random_state(random_state)
    sides = [
        tuple(np.flatnonzero(np.isin(columns[split.column], ids)) for ids in (split.train, split.test))
        for split in folds.splits
    ]
    sizes = list(sizes_for(min(len(train) for train, _ in sides)))
    n_steps = len(sizes)
    ids, splits = [], []
    for number, (train, test) in enumerate(sides):
        order = draw.permutation(train) if shuffle else train
        column = np.full(len(columns[0]), n_steps + 1, np.int16)
        column[test] = n_steps
        column[order] = _steps(len(order), sizes)
        ids.append(column)
        splits += [Split(number, tuple(range(step + 1)), (n_steps,)) for step in range(n_steps)]
    return sizes, Folds(tuple(ids), splits)


def training_sizes(train_sizes: Any, smallest: int) -> list[int]:
    """Return ascending numbers of rows, of shares or numbers of at most ``smallest``.

    Raises
    ------
    ValueError
        Where they are out of range.

    Examples
    --------
    >>> training_sizes([0.5, 1.0], 80), training_sizes([10, 10, 20], 80)
    ([40, 80], [10, 20])
    """
    given = np.asarray(train_sizes)
    if given.size == 0 or given.dtype.kind not in "fiu":
        raise ValueError(f"train_sizes: expected shares or numbers of rows, got {train_sizes!r}")
    whole, highest = (given.astype(int), smallest) if given.dtype.kind in "iu" else ((given * smallest).astype(int), 1)
    if given.min() <= 0 or given.max() > highest or whole.min() < 1:
        raise ValueError(f"train_sizes: expected values above 0 and at most {highest}, got {train_sizes!r}")
    return [int(size) for size in np.unique(whole)]


def _steps(n_rows: int, sizes: Sequence[int]) -> Array:
    """Return for each of ``n_rows`` rows, in their order, by which size it has joined; the never joining come last."""
    steps = np.searchsorted(sizes, np.arange(n_rows), side="right")
    return np.where(steps == len(sizes), len(sizes) + 1, steps)


def predict_test_rows(models: Sequence[Any], folds: Folds, X: Any, method: str) -> Any:
    """Return what ``method`` of each split's model gives for the rows that the split tests, in the order of X.

    Raises
    ------
    ValueError
        Where a row is not tested once.
    """
    tested = [i for split in folds.splits for i in split.test]
    if len(folds.ids) > 1 or len(set(tested)) < len(tested) or _leaves_out(folds):
        raise ValueError("cross_val_predict only works for partitions: expected a cv that tests each row once")
    plain = [model.to_sklearn() if hasattr(model, "to_sklearn") else model for model in models]
    classes = _all_classes(plain) if method != "predict" else None
    owners = {i: number for number, split in enumerate(folds.splits) for i in split.test}
    predictor = Predictor(plain, owners, method, classes)
    if not is_dask(X):
        part = X if hasattr(X, "shape") else np.asarray(X)
        return predictor.predict(["X", "cv"], 0, part, np.asarray(folds.ids[0]))
    rows = align_rows({"X": X, "cv": folds.ids[0]})
    first = rows.columns[0]
    meta = predictor.meta(first.meta)
    name = f"daskml-held-out-{tokenize([b.key for c in rows.columns for b in c.blocks], plain, method)}"
    layer: dict[Any, Any] = {(name, "predictor"): predictor}
    for index, blocks in enumerate(zip(*(column.blocks for column in rows.columns), strict=True)):
        layer[(name, index)] = (Predictor.predict, (name, "predictor"), ["X", "cv"], index, *(b.key for b in blocks))
    graph = HighLevelGraph.from_collections(
        name, layer, dependencies=[block for column in rows.columns for block in column.blocks]
    )
    return collect(meta, graph, [(name, i) for i in range(len(rows.lengths))], rows.lengths, "daskml-predicted")


class Predictor:
    """Predicts each row by the model that owns its id.

    Parameters
    ----------
    models : list of scikit-learn estimators
    owners : dict of id to position among the models
    method : str
    classes : array, optional
        All classes, where a result has a column for each and a model may not know all.
    """

    def __init__(self, models: Sequence[Any], owners: dict[int, int], method: str, classes: Array | None) -> None:
        self.models, self.owners, self.method, self.classes = models, owners, method, classes

    def predict(self, names: Sequence[str], index: int, X: Any, ids: Array) -> Array:
        """Return the predictions of one block's rows."""
        check_lengths(names, [X, ids], index, len(ids))
        result: Array | None = None
        for i in np.unique(ids):
            rows = np.flatnonzero(ids == i)
            predicted = self._of(self.models[self.owners[int(i)]], take(X, rows))
            if result is None:
                result = np.empty((len(ids), *predicted.shape[1:]), predicted.dtype)
            result = (
                result.astype(np.result_type(result, predicted), copy=False) if _widens(result, predicted) else result
            )
            result[rows] = predicted
        return self.meta(X) if result is None else result

    def meta(self, like: Any) -> Array:
        """Return an empty result, for an X of this kind."""
        one = like.iloc[:0] if isinstance(like, pd.DataFrame) else like[:0]
        row = pd.DataFrame({n: np.zeros(1, np.float64) for n in one.columns}) if isinstance(one, pd.DataFrame) else None
        sample = row if row is not None else np.zeros((1, like.shape[1]))
        predicted = self._of(self.models[0], sample)
        return predicted[:0]

    def _of(self, model: Any, X: Any) -> Array:
        names = getattr(model, "feature_names_in_", None)
        if names is not None and not isinstance(X, pd.DataFrame):
            X = pd.DataFrame(X, columns=names)
        predicted = np.asarray(getattr(model, self.method)(X))
        if self.classes is None or predicted.ndim == 1 or len(model.classes_) == len(self.classes):
            return predicted
        fill = {"decision_function": np.finfo(predicted.dtype).min, "predict_log_proba": np.finfo(predicted.dtype).min}
        whole = np.full((len(predicted), len(self.classes)), fill.get(self.method, 0), predicted.dtype)
        whole[:, np.searchsorted(self.classes, model.classes_)] = predicted
        return whole


def _widens(result: Array, predicted: Array) -> bool:
    return result.dtype != predicted.dtype


def _leaves_out(folds: Folds) -> bool:
    tested = {i for split in folds.splits for i in split.test}
    ids = folds.ids[0]
    present = (
        np.unique(dask.compute(ids.map_blocks(np.unique, chunks=(np.nan,)))[0]) if is_dask(ids) else np.unique(ids)
    )
    return not set(present.tolist()) <= tested


def _all_classes(models: Sequence[Any]) -> Array | None:
    if not all(hasattr(model, "classes_") for model in models):
        return None
    return np.unique(np.concatenate([model.classes_ for model in models]))


PRE_DISPATCH = ("2*n_jobs", "all")


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: Mapping[str, Any] | None = None,
    pre_dispatch: str = "2*n_jobs",
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    error_score: Any = np.nan,
) -> dict[str, Any]:
    """Fit and score an estimator on each split.

    All fits of one of our own linear models share passes over the data.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X : Dask array or DataFrame, or anything in memory that the estimator takes
    y, groups : as X, of shape (n_samples,), optional
    scoring, cv, error_score, return_train_score, return_estimator, return_indices
        As in scikit-learn; ``cv`` may be a splitter of ours.
    n_jobs : int, optional
        Threads where there is no cluster.
    verbose : int
        Above 0, print how the fits run.
    params : dict, optional
        For ``fit``; ``sample_weight`` is split with the rows.
    pre_dispatch : str
        Only scikit-learn's default.

    Returns
    -------
    dict
        ``test_score`` (or ``test_<name>`` with several scorers), ``train_...``, ``fit_time``, ``score_time``,
        ``estimator`` and ``indices``, as in scikit-learn.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> cross_validate(Ridge(), X, X.sum(axis=1), cv=3)["test_score"].round(3)
    array([1., 1., 1.])
    """
    named = named_scoring(scoring)
    spec = EvaluationSpec(estimator, [{}], named, error_score, return_train_score, n_jobs, with_models=return_estimator)
    found = _evaluate(spec, X, y, groups, cv, params, pre_dispatch, verbose)
    row = [found.outcomes[0, s] for s in range(found.plan.n_splits)]
    result: dict[str, Any] = {name: np.array([getattr(o, name) for o in row]) for name in ("fit_time", "score_time")}
    if return_estimator:
        result["estimator"] = [outcome.estimator for outcome in row]
    if return_indices:
        pairs = list(_row_numbers(found))
        result["indices"] = {"train": tuple(a for a, _ in pairs), "test": tuple(b for _, b in pairs)}
    for name in named:
        result[f"test_{name}"] = np.array([outcome.test[name] for outcome in row])
        if return_train_score:
            result[f"train_{name}"] = np.array([(outcome.train or {})[name] for outcome in row])
    return result


def cross_val_score(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: Mapping[str, Any] | None = None,
    pre_dispatch: str = "2*n_jobs",
    error_score: Any = np.nan,
) -> Array:
    """Return the score of each split; see `cross_validate`.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import LogisticRegression
    >>> X = da.random.default_rng(0).normal(size=(1_000, 3), chunks=(250, 3))
    >>> cross_val_score(LogisticRegression(C=100), X, (X[:, 0] > 0).astype(int), cv=3).round(1)
    array([1., 1., 1.])
    """
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise ValueError(f"scoring: expected one scorer, got {scoring!r}; cross_validate takes several")
    result = cross_validate(
        estimator,
        X,
        y,
        groups=groups,
        scoring=scoring,
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
        params=params,
        pre_dispatch=pre_dispatch,
        error_score=error_score,
    )
    scores: Array = result["test_score"]
    return scores


def cross_val_predict(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: Mapping[str, Any] | None = None,
    pre_dispatch: str = "2*n_jobs",
    method: str = "predict",
) -> Any:
    """Return for each row the prediction of the model that has not seen it.

    Parameters
    ----------
    estimator, X, y, groups, cv, n_jobs, verbose, params, pre_dispatch
        As in `cross_validate`.
    method : str
        The estimator's method: ``"predict"``, ``"predict_proba"``, ``"decision_function"``...

    Returns
    -------
    array, or lazy Dask array on Dask input

    Raises
    ------
    ValueError
        Where ``cv`` does not test each row once.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> cross_val_predict(Ridge(), X, X.sum(axis=1)).shape
    (100,)
    """
    spec = EvaluationSpec(estimator, [{}], {SINGLE: _any_score(estimator)}, "raise", False, n_jobs, with_models=True)
    found = _evaluate(spec, X, y, groups, cv, params, pre_dispatch, verbose)
    models = [found.outcomes[0, s].estimator for s in range(found.plan.n_splits)]
    return predict_test_rows(models, found.folds, X, method)


def validation_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    param_name: str,
    param_range: Sequence[Any],
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    pre_dispatch: str = "all",
    verbose: int = 0,
    error_score: Any = np.nan,
    params: Mapping[str, Any] | None = None,
) -> tuple[Array, Array]:
    """Return training and test scores, of shape (n_values, n_splits), for each value of a parameter.

    Parameters
    ----------
    param_name : str
    param_range : sequence
        Its values.
    estimator, X, y, groups, cv, scoring, n_jobs, pre_dispatch, verbose, error_score, params
        As in `cross_validate`, with one scorer.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> train, test = validation_curve(Ridge(), X, X.sum(axis=1), param_name="alpha", param_range=[0.1, 1, 10])
    >>> test.shape
    (3, 5)
    """
    candidates = [{param_name: value} for value in param_range]
    spec = EvaluationSpec(estimator, candidates, {SINGLE: scoring}, error_score, True, n_jobs)
    found = _evaluate(spec, X, y, groups, cv, params, pre_dispatch, verbose)
    return _table(found, len(candidates), "train"), _table(found, len(candidates), "test")


def learning_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    train_sizes: Any = (0.1, 0.325, 0.55, 0.775, 1.0),
    cv: Any = None,
    scoring: Any = None,
    exploit_incremental_learning: bool = False,
    n_jobs: int | None = None,
    pre_dispatch: str = "all",
    verbose: int = 0,
    shuffle: bool = False,
    random_state: Any = None,
    error_score: Any = np.nan,
    return_times: bool = False,
    params: Mapping[str, Any] | None = None,
) -> tuple[Array, ...]:
    """Return scores on growing numbers of training rows.

    The sizes of a split are folds within its training rows, so all sizes of all splits share passes.

    Parameters
    ----------
    train_sizes : sequence of float or int
        Shares of the smallest training set, or numbers of rows.
    exploit_incremental_learning : bool
        Not supported.
    shuffle : bool
        Whether the training rows are drawn at random, with ``random_state``, instead of taken from the first on.
    return_times : bool
        Whether fit and score times are returned too.
    estimator, X, y, groups, cv, scoring, n_jobs, pre_dispatch, verbose, error_score, params
        As in `cross_validate`, with one scorer.

    Returns
    -------
    tuple of arrays
        Sizes (n_sizes,), training and test scores (n_sizes, n_splits), and the times.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> sizes, train, test = learning_curve(Ridge(), X, X.sum(axis=1), train_sizes=[0.5, 1.0])
    >>> sizes, test.shape
    (array([40, 80]), (2, 5))
    """
    if exploit_incremental_learning:
        raise ValueError("exploit_incremental_learning=True is not supported: each size is fitted anew")
    folds = folds_of(cv, estimator, X, y, groups)
    sizes, nested = nested_training_folds(
        folds, lambda smallest: training_sizes(train_sizes, smallest), shuffle, random_state
    )
    spec = EvaluationSpec(estimator, [{}], {SINGLE: scoring}, error_score, True, n_jobs)
    found = _evaluate(spec, X, y, groups, nested, params, pre_dispatch, verbose)
    shape = len(folds.splits), len(sizes)
    tables = [_table(found, 1, side).reshape(shape).T for side in ("train", "test")]
    if return_times:
        row = [found.outcomes[0, s] for s in range(found.plan.n_splits)]
        tables += [np.reshape([getattr(o, name) for o in row], shape).T for name in ("fit_time", "score_time")]
    return (np.asarray(sizes), *tables)


def _evaluate(
    spec: EvaluationSpec,
    X: Any,
    y: Any,
    groups: Any,
    cv: Any,
    params: Mapping[str, Any] | None,
    pre_dispatch: str,
    verbose: int,
) -> Evaluation:
    if pre_dispatch not in PRE_DISPATCH:
        raise ValueError(f"pre_dispatch: only scikit-learn's default is supported, got {pre_dispatch!r}")
    found = evaluate(spec, X, y, groups, cv, params or {})
    if verbose:
        print(found.plan)
    return found


def _table(found: Evaluation, n_candidates: int, side: str) -> Array:
    places = [[found.outcomes[c, s] for s in range(found.plan.n_splits)] for c in range(n_candidates)]
    return np.array([[getattr(outcome, side)[SINGLE] for outcome in row] for row in places])


def _row_numbers(found: Evaluation) -> Any:
    if found.folds.counts:
        return ((np.asarray(a), np.asarray(b)) for a, b in found.folds.numbers())
    return (
        tuple(np.flatnonzero(np.isin(found.folds.ids[split.column], ids)) for ids in (split.train, split.test))
        for split in found.folds.splits
    )


def _any_score(estimator: Any) -> Any:
    """Return a scorer that costs next to nothing: predictions are wanted, no scores."""
    return None if hasattr(estimator, "score") else _no_score


def _no_score(estimator: Any, X: Any, y: Any = None) -> float:
    return 0.0
