"""What users give as ``cv``, as folds."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import dask
import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from daskml_kit.engines.blocks import is_dask
from daskml_kit.engines.rows import align_rows
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.in_memory import folds_in_memory
from daskml_kit.model_selection.splits.k_fold import KFold, StratifiedKFold

N_SPLITS = 5


def folds_of(cv: Any, estimator: Any, X: Any, y: Any, groups: Any) -> Folds:
    """Return the folds that ``cv`` makes of the data.

    Parameters
    ----------
    cv : int, splitter of ours or scikit-learn's, iterable of (train, test), Folds, or None
        None is five folds; a number is that of folds, stratified where ``estimator`` is a classifier. Splitters of
        scikit-learn and iterables give numbers of rows: on Dask data y and groups are fetched for them.
    """
    if isinstance(cv, Folds):
        return cv
    lazy = any(map(is_dask, (X, y, groups)))
    if not lazy and not hasattr(cv, "assign"):
        splitter = check_cv(N_SPLITS if cv is None else cv, y, classifier=is_classifier(estimator))
        return folds_in_memory(_length(X), splitter.split(X, y, groups))
    if cv is None or isinstance(cv, numbers.Integral):
        n_splits = N_SPLITS if cv is None else int(cv)
        cv = StratifiedKFold(n_splits) if is_classifier(estimator) and y is not None else KFold(n_splits)
    if hasattr(cv, "assign"):
        folds: Folds = cv.assign(X, y, groups)
        return folds
    n_rows = align_rows({"X": X}).n_rows
    splits: Iterable[tuple[Any, Any]] = cv
    if hasattr(cv, "split"):
        y, groups = (None if part is None else np.asarray(dask.compute(part)[0]) for part in (y, groups))
        splits = cv.split(np.empty((n_rows, 1)), y, groups)
    return folds_in_memory(n_rows, dask.compute(list(splits))[0])


def _length(X: Any) -> int:
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)
