"""The ``cv`` parameter: a number, splitter or iterable turned into folds."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sized
from typing import Any

import dask
import numpy as np
import sklearn.model_selection
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from daskml_kit.data.align import align_rows
from daskml_kit.data.collections import is_dask
from daskml_kit.data.indexing import n_rows
from daskml_kit.model_selection.splits.base import folds_in_memory
from daskml_kit.model_selection.splits.folds import Folds
from daskml_kit.model_selection.splits.k_fold import KFold, StratifiedKFold
from daskml_kit.model_selection.splits.stratify import stratified_folds_in_memory

N_SPLITS = 5


def folds_of(cv: Any, estimator: Any, X: Any, y: Any, groups: Any = None, **params: Any) -> Folds:
    """Return the folds that ``cv`` makes of the data.

    Parameters
    ----------
    cv : int, splitter of ours or scikit-learn's, iterable of (train, test), Folds, or None
        None is five folds; a number is that of folds, stratified where ``estimator`` is a classifier. Splitters of
        scikit-learn and iterables give numbers of rows: on Dask data y and groups are fetched for them.
    **params
        Other metadata for the splitter.
    """
    if isinstance(cv, Folds):
        return cv
    _check(cv)
    lazy = any(map(is_dask, (X, y, groups)))
    if not lazy and not hasattr(cv, "assign"):
        splitter = check_cv(N_SPLITS if cv is None else cv, y, classifier=is_classifier(estimator))
        own = None
        if type(splitter) is sklearn.model_selection.StratifiedKFold and not splitter.shuffle and groups is None:
            own = stratified_folds_in_memory(y, n_rows(X), splitter.n_splits)
        return own or folds_in_memory(n_rows(X), splitter.split(X, y, groups=groups, **params))
    if cv is None or isinstance(cv, numbers.Integral):
        n_splits = N_SPLITS if cv is None else int(cv)
        cv = StratifiedKFold(n_splits) if is_classifier(estimator) and y is not None else KFold(n_splits)
    if hasattr(cv, "assign"):
        folds: Folds = cv.assign(X, y, groups, **params)
        return folds
    length = align_rows({"X": X}).n_rows
    splits: Iterable[tuple[Any, Any]] = cv
    if hasattr(cv, "split"):
        y, given = dask.compute(y, {"groups": groups, **params})
        fetched = {name: None if part is None else np.asarray(part) for name, part in given.items()}
        splits = cv.split(np.empty((length, 1)), None if y is None else np.asarray(y), **fetched)
    return folds_in_memory(length, dask.compute(list(splits))[0])


def compute_n_splits(cv: Any, X: Any = None, y: Any = None, groups: Any = None) -> int:
    """Return the number of splits that ``cv`` makes, without making them.

    Parameters
    ----------
    cv : int, splitter of ours or scikit-learn's, list of (train, test), Folds, or None
    X, y, groups : as in `daskml_kit.model_selection.GridSearchCV.fit`, optional
        For splitters that have to see them.

    Returns
    -------
    int
        As scikit-learn's ``get_n_splits`` does.

    Raises
    ------
    ValueError
        Where that is known only once they are made.

    See Also
    --------
    check_cv : The splitter itself.

    Examples
    --------
    >>> compute_n_splits(None), compute_n_splits(3), compute_n_splits(KFold(4))
    (5, 3, 4)
    """
    _check(cv)
    if cv is None or isinstance(cv, numbers.Integral):
        return N_SPLITS if cv is None else int(cv)
    if isinstance(cv, Folds):
        return len(cv.splits)
    if hasattr(cv, "get_n_splits"):
        return int(cv.get_n_splits(X, y, groups))
    if not isinstance(cv, Sized):
        raise ValueError("cv: expected splits that can be counted without using them up, got an iterator; give a list")
    return len(cv)


def _check(cv: Any) -> None:
    whole = cv is None or (isinstance(cv, numbers.Integral) and not isinstance(cv, bool))
    if isinstance(cv, str) or not (whole or hasattr(cv, "split") or isinstance(cv, Iterable)):
        raise ValueError(f"cv: expected a number of folds, a splitter, or an iterable of (train, test), got {cv!r}")
