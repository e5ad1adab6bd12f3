"""Check what users hand to estimators, in memory by scikit-learn's own checks, on Dask without computing."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, NamedTuple

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import scipy.sparse as sp
from dask.array.utils import meta_from_array
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from daskml_kit.arguments import check_number, naming, random_state_of
from daskml_kit.data.collections import as_partitioned, is_dask, n_features_of
from daskml_kit.exceptions import DataError
from daskml_kit.typing import Labels

READ_HERE = (
    "X is in memory, and y in a Dask collection. scikit-learn's own transformers read all rows of a Dask X into this "
    "process: in a Pipeline take the class of the same name in daskml_kit, as daskml_kit.preprocessing.MinMaxScaler in "
    "place of sklearn.preprocessing.MinMaxScaler. Where X is meant to be in memory, compute y first."
)


class Inputs(NamedTuple):
    """Checked inputs of a fit, ready for `daskml_kit.engines.open.open_engine`."""

    X: Any
    y: Any
    sample_weight: Any


def check_fit(
    estimator: BaseEstimator,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    labeled: bool = False,
    multi_output: bool = False,
    finite: bool | str = False,
) -> Inputs:
    """Check the inputs of ``fit`` and set ``n_features_in_`` and, for data frames, ``feature_names_in_``.

    NaN and infinity in X are left to the first pass, unless ``finite`` says otherwise (as ``ensure_all_finite`` of
    `sklearn.utils.check_array`).
    """
    if y is None and get_tags(estimator).target_tags.required:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if not is_dask(X):
        return _check_memory(estimator, X, y, sample_weight, labeled, multi_output, finite)
    remember_features(estimator, X)
    y = np.asarray(y) if isinstance(y, (list, tuple)) else y
    if y is not None:
        _check_target(y, multi_output)
    if isinstance(sample_weight, numbers.Real):
        sample_weight = _constant_weight(X, float(sample_weight))
    if isinstance(sample_weight, dd.DataFrame) or getattr(sample_weight, "ndim", 1) != 1:
        raise DataError("Sample weights must be 1D array or scalar")
    return Inputs(X, y, sample_weight)


def check_labels(labels: Labels) -> None:
    """Raise where the distinct targets are no classes, such as numbers with fractions."""
    check_classification_targets(np.repeat(labels, 3))  # of labels that come once each it warns


def is_multilabel(y: Any) -> bool:
    """Return whether targets have several columns, which in memory must hold 0 and 1."""
    if is_dask(y):
        return len(y.shape) == 2 and int(y.shape[1]) > 1
    targets = np.asarray(y)
    if targets.ndim != 2 or targets.shape[1] < 2:
        return False
    if type_of_target(targets) != "multilabel-indicator":
        raise ValueError(f"Unknown label type: {type_of_target(targets)}: expected several columns of 0 and 1")
    return True


def remember_features(estimator: Any, X: Any) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_`` from X, a Dask collection or rows of one."""
    width = n_features_of(X)
    if width == 0:
        raise DataError(f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required.")
    check_names(X)
    estimator.n_features_in_ = width
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    if isinstance(X, (dd.DataFrame, pd.DataFrame)):
        names = list(X.columns)
        if all(isinstance(name, str) for name in names):
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
        elif any(isinstance(name, str) for name in names):
            raise TypeError("Feature names are only supported if all input features have string names")


def check_names(X: Any) -> None:
    """Raise where two columns of a data frame have one name, which scikit-learn could not tell apart."""
    if isinstance(X, (dd.DataFrame, pd.DataFrame)) and X.columns.duplicated().any():
        twice = X.columns[X.columns.duplicated()][0]
        raise DataError(f"X: expected columns of different names, got {twice!r} more than once: rename one")


def check_features(estimator: Any, X: Any) -> None:
    """Check that a Dask X has the features that ``estimator`` was fitted on.

    Raises
    ------
    DataError
        Where number or names differ.
    """
    width = n_features_of(X)
    if width != estimator.n_features_in_:
        name = type(estimator).__name__
        raise DataError(f"X has {width} features, but {name} is expecting {estimator.n_features_in_} features as input")
    known = getattr(estimator, "feature_names_in_", None)
    if known is not None and isinstance(X, dd.DataFrame) and list(X.columns) != list(known):
        unknown, gone = [c for c in X.columns if c not in known], [c for c in known if c not in X.columns]
        raise DataError(
            "The feature names should match those that were passed during fit: "
            f"unexpected {unknown}, missing {gone}" + ("" if unknown or gone else ", and the order differs")
        )


def seed_of(random_state: Any) -> int:
    """Return a seed of any ``random_state``: an int as it is, 0 for None, else drawn from the generator.

    Examples
    --------
    >>> seed_of(7), seed_of(None), seed_of(np.random.RandomState(0)) == seed_of(np.random.RandomState(0))
    (7, 0, True)
    """
    if random_state is None:
        return 0
    if isinstance(random_state, numbers.Integral):
        check_number("random_state", random_state, low=0, high=2**32 - 1, integer=True)
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state_of(random_state).randint(2**31 - 1))


def _check_memory(
    estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any, labeled: bool, multi_output: bool, finite: bool | str
) -> Inputs:
    if is_dask(y):
        warnings.warn(READ_HERE, UserWarning, stacklevel=5)
    sparse = "csr" if get_tags(estimator).input_tags.sparse else False
    options: dict[str, Any] = {"accept_sparse": sparse, "dtype": "numeric", "ensure_all_finite": finite}
    try:
        if y is None or is_dask(y):
            X = validate_data(estimator, X, **options)
        else:
            X, y = validate_data(estimator, X, y, multi_output=multi_output, y_numeric=not labeled, **options)
    except (TypeError, ValueError):
        with naming("X"):
            check_array(X, **options, estimator=estimator)
        with naming("y"):
            raise
    if sample_weight is not None and not is_dask(sample_weight):
        if isinstance(sample_weight, numbers.Real):
            sample_weight = np.full(X.shape[0], float(sample_weight))
        with naming("sample_weight"):
            sample_weight = check_array(
                sample_weight,
                ensure_2d=False,
                dtype=[np.float64, np.float32],
                input_name="sample_weight",
                accept_sparse=False,
            )
        if sample_weight.ndim != 1:
            raise DataError("Sample weights must be 1D array or scalar")
        check_consistent_length(X, sample_weight)
    return Inputs(sp.csr_array(X) if sp.issparse(X) else X, y, sample_weight)


def _constant_weight(X: Any, weight: float) -> da.Array:
    """Return ``weight`` for each row of the Dask X, in blocks of its rows."""
    meta = np.empty(0)
    if isinstance(X, dd.DataFrame):
        with as_partitioned():
            return X.map_partitions(_full, weight, meta=meta)
    whole = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
    return whole.map_blocks(_full, weight, drop_axis=1, dtype=meta.dtype, meta=meta)


def _full(block: Any, weight: float) -> Any:
    return np.full(block.shape[0], weight)


def _check_target(y: Any, multi_output: bool) -> None:
    if not is_dask(y):
        return
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    if kind and kind in "cmM":
        what = "complex numbers" if kind == "c" else "times"
        raise DataError(f"y: expected numbers or labels, got {what} ({y.dtype})")
    ndim = 2 if isinstance(y, dd.DataFrame) else y.ndim
    width = (
        len(y.columns) if isinstance(y, dd.DataFrame) else (y.shape[1] if isinstance(y, da.Array) and ndim == 2 else 1)
    )
    if ndim > 2 or (ndim == 2 and width != 1 and not multi_output):
        raise DataError(f"y should be a 1d array, got an array of shape {y.shape} instead.")


def plain_strings(X: Any) -> Any:
    """Return X with its columns of strings as pandas' default type, where a missing one is NaN.

    Dask reads strings with missing values of pd.NA, on which scikit-learn fails.
    """
    if not isinstance(X, dd.DataFrame):
        return X
    kinds = {name: dtype for name, dtype in X.dtypes.items() if isinstance(dtype, pd.StringDtype)}
    changed = {name: pd.StringDtype(na_value=np.nan) for name, dtype in kinds.items() if dtype.na_value is pd.NA}
    return X.astype(changed) if changed else X


def like(example: Any, X: Any) -> Any:
    """Return the rows of ``example`` with the type, columns and dtypes of the Dask X, made up where it has none.

    Examples
    --------
    >>> frame = dd.from_pandas(pd.DataFrame({"a": [1.5], "b": [3]}), npartitions=1)
    >>> like(pd.DataFrame({"b": [7]}), frame)
         a  b
    0  0.0  7
    """
    if isinstance(X, dd.DataFrame):
        return _like_frame(example, X.dtypes)
    meta = meta_from_array(X)
    fits = example is not None and example.shape[1] == X.shape[1]
    rows: Any = example if fits else np.zeros((1, X.shape[1]), X.dtype)
    if sp.issparse(meta):
        return type(meta)(rows)
    if sp.issparse(rows):  # as the blocks were in fit
        return rows
    rows = np.asarray(rows)
    return rows.astype(X.dtype) if _castable(rows, X.dtype) else rows


def _like_frame(example: Any, dtypes: pd.Series[Any]) -> pd.DataFrame:
    n_rows = 1 if example is None else example.shape[0]
    columns = []
    for position, dtype in enumerate(dtypes):
        values = _column(example, position, dtypes)
        if values is None:
            values = np.zeros(n_rows, "i1") if pd.api.types.is_numeric_dtype(dtype) else np.full(n_rows, None, object)
        column = pd.Series(values.array if isinstance(values, pd.Series) else values)
        known = not isinstance(dtype, pd.CategoricalDtype) and _castable(column, dtype)
        columns.append(column.astype(dtype) if known else column)
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(n_rows))
    return frame.set_axis(dtypes.index, axis=1)


def _column(example: Any, position: int, dtypes: pd.Series[Any]) -> Any:
    if isinstance(example, pd.DataFrame):
        name = dtypes.index[position]
        return example[name] if name in example.columns else None
    if example is None or example.shape[1] != len(dtypes):
        return None
    column: Any = example[:, [position]]
    return (column.toarray() if sp.issparse(column) else column)[:, 0]


def _castable(values: Any, dtype: Any) -> bool:
    try:
        values.astype(dtype)
    except (TypeError, ValueError):
        return False
    return True
