"""A few rows that stand for a Dask collection: what a model makes of them tells the type of its result."""

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.array.utils import meta_from_array

from daskml_kit.queries.tables import is_sparse


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
    if is_sparse(meta):
        return type(meta)(rows)
    if is_sparse(rows):  # as the blocks were in fit
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
    return (column.toarray() if is_sparse(column) else column)[:, 0]


def _castable(values: Any, dtype: Any) -> bool:
    try:
        values.astype(dtype)
    except (TypeError, ValueError):
        return False
    return True
