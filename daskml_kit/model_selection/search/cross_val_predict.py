"""Cross-validated predictions: cross_val_predict, each row by the model that has not seen it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.utils import get_tags, indexable

from daskml_kit.arguments import check_inner
from daskml_kit.composition import without_dask
from daskml_kit.data.align import align_rows, check_lengths, collect
from daskml_kit.data.collections import is_dask, take
from daskml_kit.documentation import documented_like
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection.search.cross_validation import cross_validate, run_validation
from daskml_kit.model_selection.search.search_plan import EvaluationSpec
from daskml_kit.model_selection.splits.folds import Folds, block_tasks
from daskml_kit.typing import Array
from daskml_kit.validation import like

BY_CLASS = ("decision_function", "predict_proba", "predict_log_proba")


@documented_like(cross_validate)
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
    """Cross-validated predictions: for each row that of the model which has not seen it.

    Parameters
    ----------
    params : dict, optional
        For ``fit``, splitter and scorers; see `cross_validate`.
    method : str, default "predict"
        The estimator's method: ``"predict"``, ``"predict_proba"``, ``"decision_function"``...

    Returns
    -------
    array, sparse matrix or list of arrays, or lazy Dask array on Dask input
        As ``method`` gives them, in the order of X; a list has the classes' columns of each of several outputs.

    Raises
    ------
    ValueError
        Where ``cv`` does not test each row once, or the estimator has no such ``method``.

    See Also
    --------
    cross_validate : Scores of these predictions, split by split.

    Examples
    --------
    >>> import dask.array as da
    >>> from daskml_kit.linear_model import Ridge
    >>> X = da.random.default_rng(0).normal(size=(100, 3), chunks=(25, 3))
    >>> cross_val_predict(Ridge(), X, X.sum(axis=1)).shape
    (100,)
    """
    classes = None
    check_inner("estimator", estimator, "fit")
    if not isinstance(method, str) or not (hasattr(type(estimator), method) or hasattr(estimator, method)):
        raise ValueError(f"method: expected the name of a method of {type(estimator).__name__}, got {method!r}")
    if y is not None and not is_dask(y) and method in BY_CLASS:
        y, classes = _with_classes(y)
    spec = EvaluationSpec(estimator, [{}], {}, "raise", False, n_jobs, with_models=True)
    found = run_validation("cross_val_predict", spec, X, y, groups, cv, params, pre_dispatch, verbose)
    models = [found.outcomes[0, s].estimator for s in range(found.plan.n_splits)]
    return predict_test_rows(models, found.folds, X, method, classes)


def _with_classes(y: Any) -> tuple[Any, Any]:
    """Return a target in memory and its classes; of several outputs the classes' numbers, as scikit-learn does."""
    labels = np.asarray(y)
    if labels.ndim == 1:
        return y, np.unique(labels)
    found = [np.unique(column, return_inverse=True) for column in labels.T]
    return np.stack([codes for _, codes in found], axis=1), [np.arange(len(classes)) for classes, _ in found]


def predict_test_rows(
    models: Sequence[Any], folds: Folds, X: Any, method: str, classes: Any = None, empty: Any = None
) -> Any:
    """Return ``method`` of each split's model for the rows that the split tests, in the order of X.

    Parameters
    ----------
    models : sequence of estimators
        One a split.
    folds : Folds
    X : as the models take, or a Dask collection
    method : str
    classes : array or list of arrays, optional
        All classes of y; by default those that the models know.
    empty : array or CSR matrix without rows, optional
        The type of the result on Dask input; by default that of made-up rows.

    Raises
    ------
    ValueError
        Where a row is not tested once.
    """
    tested = [i for split in folds.splits for i in split.test]
    if len(folds.ids) > 1 or len(set(tested)) < len(tested) or _leaves_out(folds):
        raise ValueError("cross_val_predict only works for partitions: expected a cv that tests each row once")
    bare = [without_dask(model) for model in models]
    if method in BY_CLASS and classes is None and all(hasattr(model, "classes_") for model in bare):
        classes = np.unique(np.concatenate([model.classes_ for model in bare]))
    owners = {i: number for number, split in enumerate(folds.splits) for i in split.test}
    pairwise = get_tags(bare[0]).input_tags.pairwise
    columns = [folds.row_numbers(number)[0] for number in range(len(bare))] if pairwise else None
    predictor = RowPredictor(bare, owners, method, classes, columns)
    if not is_dask(X):
        return predictor.predict(0, indexable(X)[0], np.asarray(folds.ids[0]))
    rows = align_rows({"X": X, "cv": folds.ids[0]})
    predictor = predictor._replace(empty=predictor.of_made_up(X) if empty is None else empty)
    functions = [partial(_predict_block, i) for i in range(len(rows.lengths))]
    blocks = (column.blocks for column in rows.columns)
    tasks = block_tasks("daskml-test-rows", functions, *blocks, shared=dask.delayed(predictor, traverse=False))
    return collect(predictor.empty, tasks[0].dask, [task.key for task in tasks], rows.lengths, "daskml-predicted")


def _predict_block(index: int, X: Any, ids: Array, predictor: RowPredictor) -> Any:
    return predictor.predict(index, X, ids)


class RowPredictor(NamedTuple):
    """Predicts each row by the model that owns its id.

    Parameters
    ----------
    models : list of scikit-learn estimators
    owners : dict of id to position among the models
    method : str
    classes : array or list of arrays, optional
        All classes, where a result has a column for each and a model may not know all.
    columns : list of array of int, optional
        For each model the columns of X that it takes, where X has a column for each row.
    empty : array or CSR matrix, optional
        The result for no rows.
    """

    models: Sequence[Any]
    owners: Mapping[int, int]
    method: str
    classes: Any = None
    columns: Sequence[Array] | None = None
    empty: Any = None

    def predict(self, index: int, X: Any, ids: Array) -> Any:
        """Return the predictions of one block's rows."""
        check_lengths(["X", "cv"], [X, ids], index, len(ids))
        rows = [np.flatnonzero(ids == i) for i in np.unique(ids)]
        owners = [self.owners[int(i)] for i in np.unique(ids)]
        parts = []
        for owner, some in zip(owners, rows, strict=True):
            part = take(X, some)
            parts.append(self._of(self.models[owner], part if self.columns is None else part[:, self.columns[owner]]))
        return _join(parts, rows) if parts else self.empty

    def of_made_up(self, X: Any) -> Array:
        """Return an empty result, for an X of this kind."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predicted = self._of(self.models[0], like(None, X))
        if isinstance(predicted, list):
            raise DataError(f"{self.method}: of several outputs there are results only for data in memory")
        return predicted[:0]  # type: ignore[no-any-return]

    def _of(self, model: Any, X: Any) -> Any:
        names = getattr(model, "feature_names_in_", None)
        if names is not None and not isinstance(X, pd.DataFrame):
            X = pd.DataFrame(X, columns=names)
        predicted = getattr(model, self.method)(X)
        if isinstance(predicted, list):
            known, every = model.classes_, self.classes
            return [with_all_classes(*given, self.method) for given in zip(predicted, known, every, strict=True)]
        predicted = predicted if sp.issparse(predicted) else np.asarray(predicted)
        if self.classes is None or not hasattr(model, "classes_"):
            return predicted
        every = np.arange(len(self.classes)) if isinstance(self.classes, list) else self.classes
        return with_all_classes(predicted, model.classes_, every, self.method)


def with_all_classes(predicted: Array, known: Array, every: Array, method: str) -> Array:
    """Return a column for each class, filled for those that a model has not seen."""
    n_known = len(known)
    if n_known == len(every):
        return predicted
    advice = "To fix this, use a cross-validation technique resulting in properly stratified folds"
    warnings.warn(
        f"Number of classes in training fold ({n_known}) does not match total number of classes ({len(every)}). "
        f"Results may not be appropriate for your use case. {advice}",
        RuntimeWarning,
        stacklevel=2,
    )
    if method == "decision_function" and predicted.ndim == 2 and predicted.shape[1] != n_known:
        raise ValueError(
            f"Output shape {predicted.shape} of {method} does not match number of classes ({n_known}) in fold. "
            "Irregular decision_function outputs are not currently supported by cross_val_predict"
        )
    if method == "decision_function" and n_known <= 2:
        raise ValueError(
            f"Only {n_known} class/es in training fold, but {len(every)} in overall dataset. This is not supported for "
            f"decision_function with imbalanced folds. {advice}"
        )
    fill = 0 if method == "predict_proba" else np.finfo(predicted.dtype).min
    whole = np.full((len(predicted), len(every)), fill, predicted.dtype)
    whole[:, np.searchsorted(every, known)] = predicted
    return whole


def _join(parts: Sequence[Any], rows: Sequence[Array]) -> Any:
    """Return the predictions of all ``parts``, that are those of these rows, in the order of the rows."""
    if isinstance(parts[0], list):
        return [_join(output, rows) for output in zip(*parts, strict=True)]
    order = np.argsort(np.concatenate(rows), kind="stable")
    stacked = sp.vstack(parts, format=parts[0].format) if sp.issparse(parts[0]) else np.concatenate(parts)
    return stacked[order]


def _leaves_out(folds: Folds) -> bool:
    tested = {i for split in folds.splits for i in split.test}
    return not set(np.asarray(np.unique(folds.ids[0])).tolist()) <= tested
